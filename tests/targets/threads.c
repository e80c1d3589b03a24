/* COUNT threads call `worker` TIMES times each. */
#include <pthread.h>

#include "target.h"

static long times;
static long total;

PROBED long worker(long value)
{
    return value * 3 + 1;
}

static void *thread(void *unused)
{
    (void)unused;
    long sum = 0;
    for (long i = 0; i < times; i++) {
        sum += worker(i) & 1;
    }
    __atomic_fetch_add(&total, sum, __ATOMIC_RELAXED);
    return NULL;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 8;
    times = argc > 2 ? atol(argv[2]) : 100000;
    pthread_t threads[64];
    ready();
    for (long i = 0; i < count; i++) {
        pthread_create(&threads[i], NULL, thread, NULL);
    }
    for (long i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("sum %ld\n", total);
    truth("worker", count * times);
    return 0;
}
