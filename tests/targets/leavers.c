/* Threads that end within an allocator of the program's own: their last call never returns. */
#include "target.h"

#include <pthread.h>

#define THREADS 12
#define BLOCKS 5

PROBED void *pool_take(size_t size)
{
    if (size == 13)
        pthread_exit(NULL);
    void *block = malloc(KEEP(size));
    return KEEP(block);
}

PROBED void pool_give(void *block)
{
    free(KEEP(block));
}

static void *thread(void *unused)
{
    void *blocks[BLOCKS];
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = KEEP(pool_take(100 + i));
    pool_give(blocks[0]);
    return KEEP(pool_take(unused == NULL ? 13 : 1));
}

int main(void)
{
    ready();
    /* One after the other, so that each has the stack of the last. */
    for (int i = 0; i < THREADS; i++) {
        pthread_t one;
        pthread_create(&one, NULL, thread, NULL);
        pthread_join(one, NULL);
    }
    truth("allocations", THREADS * BLOCKS);
    truth("bytes", THREADS * (100 + 101 + 102 + 103 + 104));
    truth("frees", THREADS);
    truth("live_count", THREADS * (BLOCKS - 1));
    truth("live_bytes", THREADS * (101 + 102 + 103 + 104));
    truth("ended", THREADS);
    return 0;
}
