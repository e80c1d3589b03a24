// Threads that end by pthread_exit and by pthread_cancel, with destructors and clean-up handlers on their stacks.
#include <pthread.h>
#include <semaphore.h>

#include <initializer_list>

#include "target.h"

namespace sample {

static long destroyed, cleaned;
static sem_t started, never;

struct Guard {
    PROBED ~Guard() { destroyed++; }
};

PROBED void cleanup(void *amount)
{
    cleaned += reinterpret_cast<long>(amount);
}

PROBED long exit_deep(long depth)
{
    Guard guard;
    if (depth == 0) {
        pthread_exit(reinterpret_cast<void *>(42));
    }
    if (depth < 0) {
        return 0;
    }
    return KEEP(exit_deep(depth - 1)) + 1;
}

PROBED long wait_deep(long depth)
{
    Guard guard;
    long below = 0;
    pthread_cleanup_push(cleanup, reinterpret_cast<void *>(depth));
    if (depth == 0) {
        sem_post(&started);
        sem_wait(&never);
    } else {
        below = wait_deep(depth - 1);
    }
    pthread_cleanup_pop(0);
    return KEEP(below) + 1;
}

PROBED void *exits(void *depth)
{
    return reinterpret_cast<void *>(exit_deep(reinterpret_cast<long>(depth)));
}

PROBED void *waits(void *depth)
{
    return reinterpret_cast<void *>(wait_deep(reinterpret_cast<long>(depth)));
}

PROBED void round(long depth)
{
    pthread_t thread;
    void *result = nullptr;
    pthread_create(&thread, nullptr, exits, reinterpret_cast<void *>(depth));
    pthread_join(thread, &result);
    printf("exit %ld: result %ld destroyed %ld\n", depth, reinterpret_cast<long>(result), destroyed);
    pthread_create(&thread, nullptr, waits, reinterpret_cast<void *>(depth));
    sem_wait(&started);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    printf("cancel %ld: %d destroyed %ld cleaned %ld\n", depth, result == PTHREAD_CANCELED, destroyed, cleaned);
}

} // namespace sample

int main()
{
    sem_init(&sample::started, 0, 0);
    sem_init(&sample::never, 0, 0);
    ready();
    for (long depth : {1, 10, 100}) {
        sample::round(depth);
    }
    fflush(stdout);
    pthread_exit(nullptr); // the main thread too: the process ends with status 0
}
