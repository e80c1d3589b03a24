/* Threads that only ever add memory, while another one calls a function again and again: the memory that is seen at its
 * calls never gets less.
 */
#include "target.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>

#define THREADS 3
#define BLOCK (48ul << 20)
#define MOST 100000

static atomic_int growing = THREADS;

PROBED void checkpoint(void)
{
    __asm__ volatile("");
}

static void *grow(void *unused)
{
    size_t page = sysconf(_SC_PAGESIZE);
    (void)unused;
    char *block = mmap(NULL, BLOCK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    madvise(block, BLOCK, MADV_NOHUGEPAGE);
    for (size_t at = 0; at < BLOCK; at += page)
        block[at] = 1;
    atomic_fetch_sub(&growing, 1);
    return NULL;
}

int main(void)
{
    ready();
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, grow, NULL);
    unsigned long long calls = 0;
    while (atomic_load(&growing) > 0 && calls < MOST) {
        checkpoint();
        calls++;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    checkpoint();
    truth("checkpoint", calls + 1);
    truth("grown", THREADS * BLOCK);
    return 0;
}
