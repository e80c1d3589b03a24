/* Each of 20 threads ends inside `leave`, called by `deep`. */
#include <pthread.h>

#include "target.h"

PROBED void leave(long i)
{
    if (i >= 0) {
        pthread_exit(NULL);
    }
}

PROBED long deep(long i)
{
    leave(i);
    return i + 1;
}

static void *thread(void *number)
{
    return (void *)deep((long)number);
}

int main(void)
{
    pthread_t one;
    ready();
    for (long i = 0; i < 20; i++) {
        pthread_create(&one, NULL, thread, (void *)i);
        pthread_join(one, NULL);
    }
    truth("leave", 20);
    truth("deep", 20);
    return 0;
}
