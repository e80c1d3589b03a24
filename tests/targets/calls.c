/* f4 calls f2, f3 calls f1, as two threads do with numbers of their own: the sizes say which is which. With an argument f3
 * is called so often, and nothing else happens.
 */
#include "target.h"

#include <pthread.h>

PROBED void *f1(size_t size)
{
    return KEEP(malloc(size));
}

PROBED void *f2(void *block, size_t size)
{
    return KEEP(realloc(block, size));
}

PROBED void f3(size_t size)
{
    free(KEEP(f1(size)));
    KEEP(0);
}

PROBED void f4(size_t size)
{
    char *block = KEEP(calloc(size, 8));
    block = KEEP(f2(block, size + 1));
    free(block);
    KEEP(0);
}

/* What it allocates is the caller's business: it is jumped to. */
PROBED void *tail(size_t size)
{
    return malloc(size);
}

static void *work(void *argument)
{
    size_t size = (size_t)argument;
    f4(size);
    f3(size + 2);
    return NULL;
}

int main(int argc, char **argv)
{
    static char buffer[BUFSIZ]; /* nothing is allocated to print */
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    ready();
    if (argc > 1) {
        long times = atol(argv[1]);
        for (long i = 0; i < times; i++) {
            f3(100);
        }
        truth("events", 6 * times);
        return 0;
    }
    f4(90000);
    f3(100001);
    free(KEEP(tail(333)));
    void *kept = KEEP(f1(77));
    pthread_t threads[2];
    for (size_t i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, work, (void *)(1000 * (i + 1)));
    }
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
    printf("kept %d\n", kept != NULL);
    return 0;
}
