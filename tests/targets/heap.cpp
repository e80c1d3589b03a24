/* Allocates in every way that C and C++ have, and keeps count of it.
 *
 * heap edges            every function once or more, with failures and special cases, in one thread
 * heap threads N TIMES  N threads of TIMES random allocations and frees each, also of what others have allocated
 * heap plain COUNT SIZE COUNT blocks of SIZE bytes that stay
 * heap churn TIMES SIZE COUNT pairs of an allocation and a free
 * heap sealed …        any of these, under seccomp: no return probes are planted there
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include <new>

#include "target.h"

struct Truth {
    unsigned long long allocations, bytes, frees, live_count, live_bytes, failed, peak;
};

static Truth truths;

static void *grown(void *block, size_t size)
{
    if (block == NULL) {
        truths.failed++;
        return block;
    }
    truths.allocations++;
    truths.bytes += size;
    truths.live_count++;
    truths.live_bytes += size;
    if (truths.live_bytes > truths.peak) {
        truths.peak = truths.live_bytes;
    }
    return block;
}

static void shrunk(size_t size)
{
    truths.frees++;
    truths.live_count--;
    truths.live_bytes -= size;
}

static void tell(void)
{
    truth("allocations", truths.allocations);
    truth("bytes", truths.bytes);
    truth("frees", truths.frees);
    truth("live_count", truths.live_count);
    truth("live_bytes", truths.live_bytes);
    truth("failed", truths.failed);
    truth("peak", truths.peak);
}

static void tell_block(const void *block, size_t size)
{
    printf("block %llu %zu\n", (unsigned long long)(size_t)block, size);
}

/* Sizes that no allocator grants, hidden from the compiler. */
static volatile size_t too_much = (size_t)1 << 62;
static volatile size_t nothing = 0;

PROBED static void c_functions(void)
{
    void *m = grown(malloc(100), 100);
    void *c = grown(calloc(7, 11), 77);
    void *r = grown(realloc(NULL, 50), 50);
    void *n = grown(reallocarray(NULL, 5, 20), 100);
    void *a = grown(aligned_alloc(64, 640), 640);
    void *g = grown(memalign(128, 300), 300);
    void *v = grown(valloc(500), 500);
    void *w = grown(pvalloc(600), 600);
    void *written = NULL;
    if (posix_memalign(&written, 256, 1000) == 0) {
        grown(written, 1000);
    }
    /* Moved, in place, smaller. */
    shrunk(50);
    r = grown(realloc(r, 100000), 100000);
    void *block = grown(malloc(40), 40);
    shrunk(40);
    block = grown(realloc(block, 24), 24);
    shrunk(100);
    n = grown(reallocarray(n, 3, 7), 21);
    /* Failures leave everything as it is. */
    grown(malloc(too_much), 0);
    grown(calloc(too_much, 16), 0);
    if (realloc(m, too_much) == NULL) {
        truths.failed++;
    }
    void *p = NULL;
    if (posix_memalign(&p, 3, 100) == EINVAL) {
        truths.failed++;
    }
    if (posix_memalign(&p, 64, too_much) == ENOMEM) {
        truths.failed++;
    }
    /* Nothing. */
    free(NULL);
    void *zero = grown(malloc(nothing), 0);
    void *freed = grown(malloc(30), 30);
    if (realloc(freed, nothing) == NULL) {
        shrunk(30);
    }
    /* Freed: most of them; `c`, `v`, `written` and `zero` stay. */
    void *blocks[] = {m, r, n, a, g, w, block};
    size_t sizes[] = {100, 100000, 21, 640, 300, 600, 24};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        shrunk(sizes[i]);
        free(blocks[i]);
    }
    tell_block(c, 77);
    tell_block(v, 500);
    tell_block(written, 1000);
    tell_block(zero, 0);
}

PROBED static void cpp_functions(void)
{
    std::align_val_t line{64};
    void *one = grown(::operator new(33), 33);
    void *array = grown(::operator new[](44), 44);
    void *aligned = grown(::operator new(55, line), 55);
    void *aligned_array = grown(::operator new[](66, line), 66);
    void *quiet = grown(::operator new(77, std::nothrow), 77);
    void *quiet_array = grown(::operator new[](88, std::nothrow), 88);
    void *kept = grown(::operator new(99), 99);
    shrunk(33);
    ::operator delete(one, (size_t)33);
    shrunk(44);
    ::operator delete[](array);
    shrunk(55);
    ::operator delete(aligned, (size_t)55, line);
    shrunk(66);
    ::operator delete[](aligned_array, line);
    shrunk(77);
    ::operator delete(quiet, std::nothrow);
    shrunk(88);
    ::operator delete[](quiet_array);
    ::operator delete((void *)nothing);
    tell_block(kept, 99);
}

/* An `operator new` that throws is not counted as a failure of its own: the `malloc` beneath it is. */
PROBED static void throwing(void)
{
    for (int i = 0; i < 3; i++) {
        try {
            void *block = ::operator new(too_much);
            ::operator delete(block);
        } catch (const std::bad_alloc &) {
            truths.failed++;
        }
    }
    /* The next one is not mistaken for what is within the last. */
    void *block = grown(malloc(12), 12);
    shrunk(12);
    free(block);
}

static long times;
static void *shared_blocks[64];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

PROBED static void *allocate(unsigned kind, size_t size)
{
    void *block = NULL;
    switch (kind % 4) {
    case 0:
        block = KEEP(malloc(size));
        break;
    case 1:
        block = KEEP(calloc(1, size));
        break;
    case 2:
        block = KEEP(::operator new(size));
        break;
    default:
        if (posix_memalign(&block, 64, size) != 0) {
            _Exit(98);
        }
    }
    *(size_t *)block = size;
    return block;
}

static void *thread(void *seed)
{
    unsigned state = (unsigned)(size_t)seed * 2654435761u + 1;
    Truth own = {};
    for (long i = 0; i < times; i++) {
        state = state * 1664525u + 1013904223u;
        size_t size = 8 + (state >> 8) % 2000;
        void *block = allocate(state >> 20, size);
        own.allocations++;
        own.bytes += size;
        /* Frees what is there, which mostly is another thread's. */
        pthread_mutex_lock(&lock);
        void **place = &shared_blocks[(state >> 24) % 64];
        void *old = *place;
        *place = block;
        pthread_mutex_unlock(&lock);
        if (old != NULL) {
            own.frees++;
            own.live_bytes += *(size_t *)old;
            free(old);
        }
    }
    pthread_mutex_lock(&lock);
    truths.allocations += own.allocations;
    truths.bytes += own.bytes;
    truths.frees += own.frees;
    truths.live_bytes -= own.live_bytes;
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void threads(long count)
{
    pthread_t all[64];
    for (long i = 0; i < count; i++) {
        pthread_create(&all[i], NULL, thread, (void *)(i + 1));
    }
    for (long i = 0; i < count; i++) {
        pthread_join(all[i], NULL);
    }
    truths.live_count = truths.allocations - truths.frees;
    truths.live_bytes += truths.bytes;
    for (int i = 0; i < 64; i++) {
        if (shared_blocks[i] != NULL) {
            tell_block(shared_blocks[i], *(size_t *)shared_blocks[i]);
        }
    }
}

PROBED static void plain(long count, size_t size)
{
    for (long i = 0; i < count; i++) {
        grown(malloc(size), size);
    }
}

PROBED static void churn(long count, size_t size)
{
    for (long i = 0; i < count; i++) {
        void *block = grown(malloc(size), size);
        shrunk(size);
        free(block);
    }
}

/* A filter that lets everything through. */
static void seal(void)
{
    struct sock_filter filter[] = {BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
        _Exit(96);
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "sealed") == 0) {
        seal();
        argc--;
        argv++;
    }
    const char *mode = argc > 1 ? argv[1] : "edges";
    long count = argc > 2 ? atol(argv[2]) : 8;
    times = argc > 3 ? atol(argv[3]) : 1000;
    ready();
    if (strcmp(mode, "threads") == 0) {
        threads(count);
    } else if (strcmp(mode, "plain") == 0) {
        plain(count, times);
    } else if (strcmp(mode, "churn") == 0) {
        churn(count, times);
    } else {
        c_functions();
        cpp_functions();
        throwing();
    }
    tell();
    return 0;
}
