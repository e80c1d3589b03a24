/* An allocator of its own, as programs have them. */
#include "target.h"

static char pool[1 << 16];
static size_t used;

PROBED void *pool_take(int unused, size_t count, size_t size)
{
    (void)unused;
    if (count * size > sizeof pool - used) {
        return NULL;
    }
    void *block = pool + used;
    used += count * size;
    return block;
}

PROBED int pool_put(size_t size, void **place)
{
    *place = pool_take(0, 1, size);
    return *place == NULL;
}

PROBED void pool_give(int unused, void *block)
{
    (void)unused;
    __asm__ volatile("" : : "r"(block) : "memory");
}

int main(void)
{
    ready();
    void *first = KEEP(pool_take(0, 3, 10));
    void *second = KEEP(pool_take(0, 1, 100));
    void *third = NULL;
    int failed = KEEP(pool_put(200, &third));
    failed += KEEP(pool_take(0, 1, 1 << 20)) == NULL;
    pool_give(0, second);
    pool_give(0, NULL);
    /* Freed twice, and freed without having been allocated. */
    pool_give(0, second);
    pool_give(0, pool + sizeof pool - 8);
    truth("allocations", first != NULL ? 3 : 0);
    truth("bytes", 330);
    truth("frees", 1);
    truth("live_count", 2);
    truth("live_bytes", 230);
    truth("failed", failed);
    return 0;
}
