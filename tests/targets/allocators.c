/* Allocates and frees by whatever functions it is built for, and keeps count of it: the functions are given as macros, the
 * header of their library with `-include`.
 */
#include "target.h"

#ifndef ALLOC
#define ALLOC(size) malloc(size)
#define ZERO(count, size) calloc(count, size)
#define RESIZE(block, size) realloc(block, size)
#define ALIGNED(alignment, size) aligned_alloc(alignment, size)
#define FREE(block) free(block)
#endif

#ifdef PREFIXED
/* Stands in for a library: its functions have these names, and the C library does the work. */
PROBED void *sn_malloc(size_t size) { return KEEP(malloc(size)); }
PROBED void *sn_calloc(size_t count, size_t size) { return KEEP(calloc(count, size)); }
PROBED void *sn_realloc(void *block, size_t size) { return KEEP(realloc(block, size)); }
PROBED void *sn_aligned_alloc(size_t alignment, size_t size) { return KEEP(aligned_alloc(alignment, size)); }
PROBED void sn_free(void *block) { free(KEEP(block)); }
#endif

#define BLOCKS 400

static void *blocks[BLOCKS];
static size_t sizes[BLOCKS];
static unsigned long long allocations, bytes, frees, live_count, live_bytes;

static void came(int block, void *address, size_t size)
{
    if (address == NULL)
        _Exit(90);
    blocks[block] = address;
    sizes[block] = size;
    allocations++;
    bytes += size;
    live_count++;
    live_bytes += size;
}

static void went(int block)
{
    frees++;
    live_count--;
    live_bytes -= sizes[block];
}

/* Sizes of many classes, also of those that allocators map for themselves. */
static size_t size_of(int block)
{
    return block % 40 == 39 ? 200000 + block : 16 + block * 37;
}

PROBED void work(void)
{
    for (int block = 0; block < BLOCKS; block++) {
        size_t size = size_of(block);
        if (block % 3 == 0)
            came(block, KEEP(ZERO(4, size)), 4 * size);
        else if (block % 7 == 0)
            came(block, KEEP(ALIGNED(64, size / 64 * 64 + 64)), size / 64 * 64 + 64);
        else
            came(block, KEEP(ALLOC(size)), size);
    }
    for (int block = 0; block < BLOCKS; block += 2) {
        void *moved = KEEP(RESIZE(blocks[block], sizes[block] * 2));
        went(block);
        came(block, moved, sizes[block] * 2);
    }
    for (int block = 0; block < BLOCKS; block += 3) {
        went(block);
        FREE(blocks[block]);
    }
    __asm__ volatile("");
}

int main(void)
{
    ready();
    work();
    truth("allocations", allocations);
    truth("bytes", bytes);
    truth("frees", frees);
    truth("live_count", live_count);
    truth("live_bytes", live_bytes);
    return 0;
}
