/* A filter that kills the process on every system call but a few. With an argument it is installed after `ready`. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "target.h"

#define ALLOW(call) \
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

PROBED long inner(long n)
{
    return n * 7 + 1;
}

PROBED long outer(long n)
{
    return inner(n) + KEEP(inner(n + 1));
}

PROBED void forbid(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        ALLOW(read),
        ALLOW(write),
        ALLOW(brk),
        ALLOW(newfstatat),
        ALLOW(exit_group),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        _exit(98);
    }
}

int main(int argc, char **argv)
{
    (void)argv;
    static char buffer[BUFSIZ]; /* no allocation: that asks for random numbers */
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    if (argc == 1) {
        forbid();
    }
    ready();
    if (argc > 1) {
        forbid();
    }
    long sum = 0;
    for (long i = 0; i < 1000; i++) {
        sum += outer(i);
    }
    printf("sum %ld\n", sum);
    truth("outer", 1000);
    truth("inner", 2000);
    return 8;
}
