/* Starts, says when (CLOCK_MONOTONIC, ns), and calls `tick` about every 50 microseconds: for TIMES times, or, without an
 * argument, idles until its input ends. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

__attribute__((noipa)) long tick(long value)
{
    return value + 1;
}

int main(int argc, char **argv)
{
    struct timespec start;
    clock_gettime(CLOCK_MONOTONIC, &start);
    if (argc < 2) {
        char byte;
        return read(0, &byte, 1) < 0;
    }
    long sum = 0;
    for (long i = atol(argv[1]); i > 0; i--) {
        struct timespec pause = {0, 50000};
        sum = tick(sum);
        nanosleep(&pause, NULL);
    }
    printf("%ld %lld\n", (long)getpid(), start.tv_sec * 1000000000ll + start.tv_nsec);
    return sum < 0;
}
