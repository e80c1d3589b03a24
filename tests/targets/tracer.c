/* A debugger in small: attaches to the process that its argument names and lets it run to its end. */
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "target.h"

int main(int argc, char **argv)
{
    pid_t pid = argc > 1 ? atoi(argv[1]) : 0;
    if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) != 0) {
        perror("ptrace");
        return 1;
    }
    announce("ready\n", 6);
    int status;
    while (waitpid(pid, &status, __WALL) == pid && WIFSTOPPED(status)) {
        int signal = status >> 16 ? 0 : WSTOPSIG(status);
        ptrace(PTRACE_CONT, pid, NULL, (void *)(long)signal);
    }
    printf("traced to its end\n");
    return 0;
}
