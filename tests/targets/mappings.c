/* Maps and unmaps: whole mappings, fronts, ends and middles of them, several at once, over others, and in vain; and moves the end
 * of the heap, which nobody else uses here.
 */
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

/* Unmaps so many bytes that are no mapping's beginning. */
PROBED static void cut(char *start, size_t size)
{
    if (KEEP(munmap(start, size)) == 0)
        live_bytes -= size;
}

/* What was alive there is alive no more: so many mappings. */
static void gone(size_t mappings, size_t size)
{
    frees += mappings;
    live_count -= mappings;
    live_bytes -= size;
}

PROBED static void parts(size_t page)
{
    /* Front and end are cut from what was made too large, as for the sake of alignment. */
    char *aligned = map(64 * page);
    cut(aligned, 10 * page);
    cut(aligned + 40 * page, 24 * page);
    unmap(aligned + 10 * page, 30 * page);
    /* A hole, which grows; then what lies behind it, in two steps, and what lies in front. */
    char *holed = map(40 * page);
    cut(holed + 10 * page, 4 * page);
    cut(holed + 14 * page, 6 * page);
    cut(holed + 30 * page, 10 * page);
    cut(holed + 20 * page, 10 * page);
    unmap(holed, 10 * page);
    /* Three mappings in a row, made over one, and unmapped at once from within the first on. */
    char *row = map(30 * page);
    for (int i = 0; i < 3; i++) {
        void *over = mmap(row + i * 10 * page, 10 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        if (KEEP(over) == MAP_FAILED)
            _Exit(95);
        allocations++;
        bytes += 10 * page;
    }
    /* The first one is gone, and there are three in its place. */
    frees++;
    live_count += 2;
    cut(row + 5 * page, 25 * page);
    frees += 2;
    live_count -= 2;
    /* Sizes need not be whole pages; what is left is 5,000 bytes and a part of a page. */
    char *odd = map(5000);
    unmap(odd, 5000);
}

static int is_moved(char *end)
{
    return KEEP(brk(end)) == 0;
}

PROBED static void heap(size_t page)
{
    char *begin = sbrk(0);
    if (KEEP(sbrk(20 * page)) == begin) {
        allocations++;
        live_count++;
        bytes += 20 * page;
        live_bytes += 20 * page;
    }
    if (is_moved(begin + 50 * page)) {
        allocations++;
        live_count++;
        bytes += 30 * page;
        live_bytes += 30 * page;
    }
    /* Back, over one of the two and into the other. */
    if (KEEP(sbrk(-10 * (long)page)) == begin + 50 * page)
        live_bytes -= 10 * page;
    if (is_moved(begin + 15 * page))
        gone(1, 25 * page);
    /* Nothing, and in vain. */
    is_moved(begin + 15 * page);
    is_moved(begin + ((size_t)1 << 60));
    is_moved(begin - ((size_t)1 << 40));
    failed += 2;
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
    parts(page);
    heap(page);
    truth("allocations", allocations);
    truth("bytes", bytes);
    truth("frees", frees);
    truth("live_count", live_count);
    truth("live_bytes", live_bytes);
    truth("failed", failed);
    return 0;
}
