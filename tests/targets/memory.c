/* Memory that comes and goes in known functions. At each `checkpoint` the program itself reads what the kernel says of it
 * (`/proc/self/statm`), before and after: where the two agree, a profiler must say the same of what lies between them.
 */
#include "target.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>

#define BLOCK (8ul << 20)
#define THREADS 4
#define ROUNDS 5

static long page;
static char *block, *shared;
static char *small[THREADS];

/* Maps 8 MiB and touches every page. */
PROBED void grow(void)
{
    block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < BLOCK; at += page)
        block[at] = 1;
}

PROBED void shrink(void)
{
    munmap(block, BLOCK);
}

/* Maps 8 MiB and touches none. */
PROBED void reserve(void)
{
    block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}

/* 1 MiB of shared memory. */
PROBED void share(void)
{
    shared = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < 1 << 20; at += page)
        shared[at] = 1;
}

PROBED void checkpoint(void)
{
    __asm__ volatile("");
}

/* The first two numbers of `/proc/self/statm`, in bytes. Reads into a buffer that is there: it changes nothing. */
static void statm(uint64_t numbers[2])
{
    static char text[256];
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        _Exit(98);
    text[length] = '\0';
    char *rest;
    numbers[0] = strtoull(text, &rest, 10) * page;
    numbers[1] = strtoull(rest, NULL, 10) * page;
}

static void check(const char *what)
{
    uint64_t before[2], after[2];
    statm(before);
    checkpoint();
    statm(after);
    char line[64];
    snprintf(line, sizeof line, "%s steady", what);
    truth(line, before[0] == after[0] && before[1] == after[1]);
    snprintf(line, sizeof line, "%s vms", what);
    truth(line, before[0]);
    snprintf(line, sizeof line, "%s rss", what);
    truth(line, before[1]);
}

/* Some pages, too few for the kernel's counters to be brought up to date. */
static void *touch(void *argument)
{
    long number = (long)argument;
    size_t size = (number * 7 + 3) * page;
    small[number] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (size_t at = 0; at < size; at += page)
        small[number][at] = 1;
    return NULL;
}

static void touch_on_other_threads(void)
{
    pthread_t threads[THREADS];
    for (long i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, touch, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    page = sysconf(_SC_PAGESIZE);
    ready();
    /* What the first time brings with it: pages of the program, of the C library, of the probes. */
    grow();
    shrink();
    reserve();
    shrink();
    check("first");
    for (int i = 0; i < ROUNDS; i++) {
        grow();
        check("grown");
        shrink();
        check("shrunk");
    }
    reserve();
    check("reserved");
    shrink();
    share();
    check("shared");
    touch_on_other_threads();
    check("touched");
    return 0;
}
