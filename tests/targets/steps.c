/* Works in two halves, with a wait between them; `work` starts with an instruction that the kernel may rewrite. */
#include "target.h"

PROBED long work(long n)
{
    return n * 9 + 2;
}

__asm__(".text\n.p2align 4\n.globl optimized\n.type optimized, @function\noptimized:\n"
        " nopl 0(%rax,%rax,1)\n lea 1(%rdi), %rax\n ret\n.size optimized, . - optimized\n");
long optimized(long);

PROBED long half(long times)
{
    long sum = 0;
    for (long i = 0; i < times; i++) {
        sum += work(i) + optimized(i);
    }
    return sum;
}

/* With an argument, says on standard error where its functions are. */
int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        fprintf(stderr, "at work %#lx\nat optimized %#lx\n", (unsigned long)work, (unsigned long)optimized);
    }
    ready();
    printf("first %ld\n", half(1000));
    fflush(stdout);
    wait_for_go();
    printf("second %ld\n", half(500));
    truth("work", 1500);
    truth("optimized", 1500);
    truth("half", 2);
    return 9;
}
