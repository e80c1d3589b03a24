/* Replaces its program by itself, with the same process id, and works on both sides. */
#include "target.h"

PROBED long work(long n)
{
    return n * 11 + 3;
}

int main(int argc, char **argv)
{
    long times = argc > 1 ? 50 : 100, sum = 0;
    if (argc == 1) {
        ready();
    }
    for (long i = 0; i < times; i++) {
        sum += work(i);
    }
    printf("sum %ld\n", sum);
    fflush(stdout);
    if (argc == 1) {
        execl("/proc/self/exe", argv[0], "second", (char *)NULL);
        return 97;
    }
    truth("before", 100);
    truth("after", 50);
    return 14;
}
