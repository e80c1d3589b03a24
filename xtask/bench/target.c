/*
 * What the benchmark probes. `target CPU` pins itself, prints "ready" and then, for each line `WHAT CALLS BATCHES` on
 * standard input, makes CALLS calls BATCHES times and prints two numbers: the ns of the fastest batch by the clock on
 * the wall, and the least processor time that one took.
 * No stdio and no allocation of its own: each call of a probed function is one that was asked for.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

void push_first(void);
void landing_pad_first(void);

/* The first instruction decides the price of a probe: here it is written down. */
#if defined(__x86_64__)
__asm__(".text\n"
        ".globl push_first\n"
        ".type push_first, @function\n"
        "push_first: push %rbp\n"
        "mov %rsp, %rbp\n"
        "pop %rbp\n"
        "ret\n"
        ".size push_first, . - push_first\n"
        ".globl landing_pad_first\n"
        ".type landing_pad_first, @function\n"
        "landing_pad_first: endbr64\n"
        "push %rbp\n"
        "mov %rsp, %rbp\n"
        "pop %rbp\n"
        "ret\n"
        ".size landing_pad_first, . - landing_pad_first\n");
#else
__attribute__((noinline)) void push_first(void) { __asm__ volatile(""); }
__attribute__((noinline)) void landing_pad_first(void) { __asm__ volatile(""); }
#endif

static uint64_t now_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void call_push(uint64_t calls) {
    for (uint64_t i = 0; i < calls; i++) push_first();
}

static void call_landing_pad(uint64_t calls) {
    for (uint64_t i = 0; i < calls; i++) landing_pad_first();
}

static void call_keep(uint64_t calls) {
    for (uint64_t i = 0; i < calls; i++) {
        void *volatile block = malloc(16);
        (void)block;
    }
}

static void call_malloc_free(uint64_t calls) {
    for (uint64_t i = 0; i < calls; i++) {
        void *volatile block = malloc(64);
        free(block);
    }
}

/* Touches so many pages, one after the other, and gives all of them back. */
static void call_touch(uint64_t calls) {
    static char *area;
    static uint64_t pages;
    if (pages < calls) {
        area = mmap(NULL, calls * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (area == MAP_FAILED || madvise(area, calls * 4096, MADV_NOHUGEPAGE)) _exit(3);
        pages = calls;
    }
    for (uint64_t i = 0; i < calls; i++) area[i * 4096] = 1;
    if (madvise(area, calls * 4096, MADV_DONTNEED)) _exit(4);
}

static const struct work {
    const char *name;
    void (*run)(uint64_t calls);
} works[] = {{"push", call_push}, {"landing_pad", call_landing_pad}, {"malloc_free", call_malloc_free}, {"keep", call_keep},
             {"touch", call_touch}};

static const struct work *find(const char *name) {
    for (size_t i = 0; i < sizeof works / sizeof *works; i++)
        if (!strcmp(works[i].name, name)) return &works[i];
    return NULL;
}

static void say(const char *text) {
    if (write(STDOUT_FILENO, text, strlen(text)) < 0) _exit(1);
}

static void say_number(uint64_t number, char end) {
    char text[24], *at = text + sizeof text;
    *--at = '\0';
    *--at = end;
    do *--at = (char)('0' + number % 10);
    while (number /= 10);
    say(at);
}

/* Reads a line; 0 at the end of the input. */
static int read_line(char *line, size_t size) {
    for (size_t length = 0; length + 1 < size; length++) {
        if (read(STDIN_FILENO, line + length, 1) != 1) return 0;
        if (line[length] == '\n') {
            line[length] = '\0';
            return 1;
        }
    }
    return 0;
}

static void measure(const struct work *work, uint64_t calls, uint64_t batches) {
    uint64_t least[2] = {UINT64_MAX, UINT64_MAX};
    const clockid_t clocks[2] = {CLOCK_MONOTONIC, CLOCK_THREAD_CPUTIME_ID};
    for (uint64_t batch = 0; batch < batches; batch++) {
        uint64_t start[2] = {now_ns(clocks[0]), now_ns(clocks[1])};
        work->run(calls);
        for (int i = 0; i < 2; i++) {
            uint64_t elapsed = now_ns(clocks[i]) - start[i];
            if (elapsed < least[i]) least[i] = elapsed;
        }
    }
    say_number(least[0], ' ');
    say_number(least[1], '\n');
}

int main(int argc, char **argv) {
    if (argc > 1) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(atoi(argv[1]), &cpus);
        if (sched_setaffinity(0, sizeof cpus, &cpus) != 0) return 2;
    }
    say("ready\n");
    char line[128];
    while (read_line(line, sizeof line)) {
        char *rest = line;
        const struct work *work = find(strsep(&rest, " "));
        char *calls = strsep(&rest, " "), *batches = rest;
        if (!work || !calls || !batches) return 2;
        measure(work, strtoull(calls, NULL, 10), strtoull(batches, NULL, 10));
    }
    return 0;
}
