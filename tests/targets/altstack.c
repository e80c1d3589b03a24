/* Signal handlers on an alternate stack: raised inside probed functions, nested, and left by siglongjmp. */
#include <setjmp.h>
#include <signal.h>

#include "target.h"

static volatile long handled, nested, rescued;
static sigjmp_buf home;
static volatile long *volatile nowhere;
static char stack[256 << 10];

PROBED long in_handler(long depth)
{
    return depth == 0 ? 1 : KEEP(in_handler(depth - 1)) + 1;
}

static void on_usr1(int signal)
{
    (void)signal;
    handled += in_handler(10);
    raise(SIGUSR2);
}

static void on_usr2(int signal)
{
    (void)signal;
    nested += in_handler(5);
}

static void on_segv(int signal)
{
    (void)signal;
    in_handler(3);
    siglongjmp(home, 1);
}

PROBED long interrupted(long depth)
{
    if (depth == 0) {
        raise(SIGUSR1);
        return 1;
    }
    return KEEP(interrupted(depth - 1)) + 1;
}

PROBED long faulting(long depth)
{
    if (depth == 0) {
        return *nowhere;
    }
    return KEEP(faulting(depth - 1)) + 1;
}

static void install(int signal, void (*handler)(int))
{
    struct sigaction action = { .sa_handler = handler, .sa_flags = SA_ONSTACK };
    sigaction(signal, &action, NULL);
}

int main(void)
{
    stack_t alternate = { .ss_sp = stack, .ss_size = sizeof stack };
    sigaltstack(&alternate, NULL);
    install(SIGUSR1, on_usr1);
    install(SIGUSR2, on_usr2);
    install(SIGSEGV, on_segv);
    ready();
    volatile long sum = 0;
    for (volatile long i = 0; i < 50; i++) {
        sum += interrupted(i % 7);
        if (sigsetjmp(home, 1) == 0) {
            sum += faulting(i % 5);
        } else {
            rescued++;
        }
    }
    printf("sum %ld handled %ld nested %ld rescued %ld\n", sum, handled, nested, rescued);
    return 6;
}
