/* Loads the library of its first argument ROUNDS times, calls its function `plug` 100 times, and unloads it. With a third
 * argument it waits while the library is loaded, before the first call of the first round. */
#include <dlfcn.h>

#include "target.h"

int main(int argc, char **argv)
{
    long rounds = argc > 2 ? atol(argv[2]) : 3, sum = 0;
    if (argc < 2) {
        return 2;
    }
    ready();
    for (long round = 0; round < rounds; round++) {
        void *library = dlopen(argv[1], RTLD_NOW);
        if (!library) {
            fprintf(stderr, "%s\n", dlerror());
            return 1;
        }
        long (*plug)(long) = (long (*)(long))dlsym(library, "plug");
        if (round == 0 && argc > 3) {
            announce("loaded\n", 7);
            wait_for_go();
        }
        for (long i = 0; i < 100; i++) {
            sum += plug(i);
        }
        dlclose(library);
    }
    printf("sum %ld\n", sum);
    truth("plug", 100 * rounds);
    return 6;
}
