/* What every sample program in C and C++ shares: the handshake, and the way in which it states its truth.
 *
 * A program prints `ready`, waits for a byte on its standard input (or its end), works, and prints what it counted
 * itself as lines `truth NAME NUMBER`. The handshake is inlined into main: no function but main is running while a
 * profiler attaches.
 */
#ifndef TARGET_H
#define TARGET_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A function that stays one: never inlined, cloned, or analysed by its callers. */
#define PROBED __attribute__((noipa))
/* `value` as the compiler cannot know it: keeps a call in front of it from becoming a jump or a loop. */
#define KEEP(value) ({ __typeof__(value) kept = (value); __asm__ volatile("" : "+r"(kept)); kept; })
#define ALWAYS_INLINE static inline __attribute__((always_inline, unused))

/* Waits for one byte, or for the end of the input. */
ALWAYS_INLINE void wait_for_go(void)
{
    char byte;
    if (read(0, &byte, 1) < 0) {
        _Exit(99);
    }
}

ALWAYS_INLINE void announce(const char *line, size_t length)
{
    if (write(1, line, length) < 0) {
        _Exit(99);
    }
}

ALWAYS_INLINE void ready(void)
{
    announce("ready\n", 6);
    wait_for_go();
}

ALWAYS_INLINE void truth(const char *name, unsigned long long number)
{
    printf("truth %s %llu\n", name, number);
}

ALWAYS_INLINE unsigned long long now_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000ull + time.tv_nsec;
}

#endif
