/* Maps and unmaps: whole mappings, fronts of them, and in vain. */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "target.h"

static unsigned long long allocations, bytes, frees, live_count, live_bytes, failed;

PROBED static char *map(size_t size)
{
    void *start = mmap(NULL, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) {
        failed++;
        return NULL;
    }
    allocations++;
    bytes += size;
    live_count++;
    live_bytes += size;
    return start;
}

PROBED static void unmap(char *start, size_t size)
{
    if (KEEP(munmap(start, size)) == 0) {
        frees++;
        live_count--;
        live_bytes -= size;
    }
}

int main(void)
{
    size_t page = 4096;
    ready();
    char *one = map(page);
    char *many = map(16 * page);
    char *front = map(8 * page);
    map((size_t)1 << 60);
    unmap(one, page);
    unmap(many, 16 * page);
    /* A front: what is left begins behind it. */
    if (KEEP(munmap(front, 3 * page)) == 0) {
        live_bytes -= 3 * page;
    }
    /* In vain: not at a page's beginning. */
    unmap(front + 3 * page + 1, page);
    char *grown = map(2 * page);
    void *moved = mremap(grown, 2 * page, 64 * page, MREMAP_MAYMOVE);
    if (KEEP(moved) != MAP_FAILED) {
        allocations++;
        frees++;
        bytes += 64 * page;
        live_bytes += 62 * page;
    }
    truth("allocations", allocations);
    truth("bytes", bytes);
    truth("frees", frees);
    truth("live_count", live_count);
    truth("live_bytes", live_bytes);
    truth("failed", failed);
    return 0;
}
