/* Counts a program's calls of the C library's allocators, for itself: preloaded. It begins where the program does, behind the
 * constructors, and writes what it counted to the file `COUNTS.PID` when the program ends.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* RESIZED: those of a realloc that had a block before. */
enum { MALLOC, CALLOC, REALLOC, REALLOCARRAY, FREE, RESIZED, FUNCTIONS };

static const char *const names[FUNCTIONS] = {"malloc", "calloc", "realloc", "reallocarray", "free", "resized"};
static unsigned long long counts[FUNCTIONS];
/* One of these functions may call another. */
static __thread int depth;

#define REAL(function) ((__typeof__(&function))find(#function))

static void *find(const char *name)
{
    depth++;
    void *found = dlsym(RTLD_NEXT, name);
    depth--;
    if (found == NULL)
        _exit(93);
    return found;
}

static struct {
    __typeof__(&malloc) malloc;
    __typeof__(&calloc) calloc;
    __typeof__(&realloc) realloc;
    __typeof__(&reallocarray) reallocarray;
    __typeof__(&free) free;
    int (*start)(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void), void *);
} real;

/* Before the program begins: looking for them allocates, too. */
__attribute__((constructor)) static void begin(void)
{
    real.calloc = REAL(calloc);
    real.malloc = REAL(malloc);
    real.realloc = REAL(realloc);
    real.reallocarray = REAL(reallocarray);
    real.free = REAL(free);
    real.start = find("__libc_start_main");
}

static void *came(int function, void *block)
{
    if (--depth == 0 && block != NULL)
        __atomic_fetch_add(&counts[function], 1, __ATOMIC_RELAXED);
    return block;
}

static void *resized(const void *before, void *block)
{
    if (depth == 0 && before != NULL && block != NULL)
        __atomic_fetch_add(&counts[RESIZED], 1, __ATOMIC_RELAXED);
    return block;
}

/* Constructors of other libraries may come first. */
static void ready(void)
{
    if (real.start == NULL && depth == 0)
        begin();
}

void *malloc(size_t size)
{
    ready();
    __typeof__(&malloc) function = real.malloc != NULL ? real.malloc : REAL(malloc);
    depth++;
    return came(MALLOC, function(size));
}

/* `dlsym` itself may ask for zeroed memory. */
static char first[4096];
static size_t used;

void *calloc(size_t count, size_t size)
{
    ready();
    if (real.calloc == NULL) {
        void *block = first + used;
        used += (count * size + 15) / 16 * 16;
        return used > sizeof first ? NULL : block;
    }
    depth++;
    return came(CALLOC, real.calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    ready();
    depth++;
    return resized(block, came(REALLOC, real.realloc(block, size)));
}

void *reallocarray(void *block, size_t count, size_t size)
{
    ready();
    depth++;
    return resized(block, came(REALLOCARRAY, real.reallocarray(block, count, size)));
}

void free(void *block)
{
    ready();
    if (block == NULL || real.free == NULL || ((char *)block >= first && (char *)block < first + sizeof first))
        return;
    depth++;
    real.free(block);
    came(FREE, block);
}

int __libc_start_main(int (*main)(int, char **, char **), int count, char **words, void (*begin)(void), void (*end)(void),
                      void (*end_loader)(void), void *stack)
{
    memset(counts, 0, sizeof counts);
    return real.start(main, count, words, begin, end, end_loader, stack);
}

__attribute__((destructor)) static void tell(void)
{
    const char *start = getenv("COUNTS");
    char path[4096];
    if (start == NULL)
        return;
    snprintf(path, sizeof path, "%s.%d", start, getpid());
    int file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (int function = 0; file >= 0 && function < FUNCTIONS; function++) {
        int length = snprintf(path, sizeof path, "%s %llu\n", names[function], counts[function]);
        if (write(file, path, length) != length)
            _exit(92);
    }
}
