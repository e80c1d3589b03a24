/* Forks: the child frees what its parent had allocated, and allocates itself; then it executes this program again. */
#include <sys/wait.h>

#include "target.h"

PROBED static void *take(size_t size)
{
    return KEEP(malloc(size));
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "again") == 0) {
        void *own = take(500);
        return own == NULL;
    }
    ready();
    void *inherited[10];
    for (int i = 0; i < 10; i++) {
        inherited[i] = take(100);
    }
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 4; i++) {
            free(inherited[i]);
        }
        for (int i = 0; i < 3; i++) {
            take(1000);
        }
        execl("/proc/self/exe", argv[0], "again", (char *)NULL);
        _exit(97);
    }
    waitpid(child, NULL, 0);
    for (int i = 0; i < 6; i++) {
        free(inherited[i]);
    }
    truth("child", child);
    return 0;
}
