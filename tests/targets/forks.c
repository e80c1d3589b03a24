/* A parent that forks without exec and calls `work` on both sides, and one that vforks and executes. */
#include <sys/wait.h>

#include "target.h"

PROBED long work(long i)
{
    return i * 5 + 1;
}

PROBED long repeat(long times)
{
    long sum = 0;
    for (long i = 0; i < times; i++) {
        sum += work(i) & 3;
    }
    return sum;
}

PROBED int forked(void)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        printf("child %ld\n", repeat(300));
        fflush(stdout);
        _exit(7);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

PROBED int vforked(void)
{
    fflush(stdout);
    pid_t child = vfork();
    if (child == 0) {
        execl("/bin/sh", "sh", "-c", "echo executed; exit 5", (char *)NULL);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int main(void)
{
    ready();
    long before = repeat(1000);
    printf("before %ld\n", before);
    printf("forked %d\n", forked());
    printf("vforked %d\n", vforked());
    printf("after %ld\n", repeat(1000));
    truth("parent", 2000);
    truth("child", 300);
    return 3;
}
