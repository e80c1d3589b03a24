/* Loads mimalloc while it runs, waits, and uses it. */
#include <dlfcn.h>

#include "target.h"

#define BLOCKS 100

static void *(*allocate)(size_t);
static void (*release)(void *);

PROBED void work(void)
{
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = KEEP(allocate(10 + i));
    for (int i = 0; i < BLOCKS; i += 4)
        release(blocks[i]);
    __asm__ volatile("");
}

int main(int argc, char **argv)
{
    ready();
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (library == NULL)
        return 2;
    allocate = dlsym(library, "mi_malloc");
    release = dlsym(library, "mi_free");
    announce("loaded\n", 7);
    wait_for_go();
    work();
    unsigned long long bytes = 0, freed = 0;
    for (int i = 0; i < BLOCKS; i++) {
        bytes += 10 + i;
        freed += i % 4 == 0 ? 10 + i : 0;
    }
    truth("allocations", BLOCKS);
    truth("bytes", bytes);
    truth("frees", BLOCKS / 4);
    truth("live_count", BLOCKS - BLOCKS / 4);
    truth("live_bytes", bytes - freed);
    return 0;
}
