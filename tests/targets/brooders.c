/* COUNT children, one after the other, each of which loses TIMES blocks; each is gone for a moment before the next. */
#include <sys/wait.h>

#include "target.h"

PROBED static void lose(size_t size)
{
    KEEP(malloc(size));
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 10;
    int times = argc > 2 ? atoi(argv[2]) : 1000;
    ready();
    for (int i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0) {
            for (int j = 0; j < times; j++) {
                lose(24);
            }
            _exit(0);
        }
        waitpid(child, NULL, 0);
        usleep(300000);
    }
    truth("allocations", (unsigned long long)count * times);
    return 0;
}
