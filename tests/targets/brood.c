/* COUNT children, one after the other, each of which calls `work` and ends at once; with `exec`, each first replaces its
 * program by itself. */
#include <sys/wait.h>

#include "target.h"

PROBED long work(long n)
{
    return n * 7 + 1;
}

static int child_of(int argc, char **argv)
{
    long sum = 0;
    for (long i = 0; i < 3; i++) {
        sum += work(i);
    }
    (void)argc;
    (void)argv;
    return sum == 24 ? 0 : 1;
}

int main(int argc, char **argv)
{
    long count = argc > 1 ? atol(argv[1]) : 10, good = 0;
    int executes = argc > 2 && strcmp(argv[2], "exec") == 0;
    if (count == 0) {
        return child_of(argc, argv);
    }
    ready();
    for (long i = 0; i < count; i++) {
        pid_t child = fork();
        if (child == 0 && executes) {
            execl("/proc/self/exe", argv[0], "0", (char *)NULL);
            _exit(9);
        }
        if (child == 0) {
            _exit(child_of(argc, argv));
        }
        int status = 0;
        waitpid(child, &status, 0);
        good += WIFEXITED(status) && WEXITSTATUS(status) == 0;
    }
    truth("work", 3 * count);
    truth("good", good);
    return 5;
}
