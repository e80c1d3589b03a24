/* A C program with nothing that unwinds, until it loads the library of its argument: then exceptions pass through its
 * function `passed_through`. */
#include <dlfcn.h>

#include "target.h"

PROBED long plain(long value)
{
    return KEEP(value) + 1;
}

PROBED long passed_through(long (*function)(long), long value)
{
    long result = function(value);
    return KEEP(result) + plain(value);
}

PROBED long half(long times)
{
    long sum = 0;
    for (long i = 0; i < times; i++) {
        sum += passed_through(plain, i);
    }
    return sum;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    ready();
    printf("before %ld\n", half(100));
    fflush(stdout);
    void *library = dlopen(argv[1], RTLD_NOW);
    if (!library) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    long (*catches)(long (*)(long (*)(long), long), long) = dlsym(library, "catches");
    printf("loaded\n");
    fflush(stdout);
    wait_for_go();
    long caught = 0;
    for (long i = 0; i < 100; i++) {
        caught += catches(passed_through, i);
    }
    printf("caught %ld\n", caught);
    truth("passed_through", 200);
    return 8;
}
