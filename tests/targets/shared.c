/* A function that another one jumps into, behind its first instruction, as the copying functions of C libraries do. */
#include "target.h"

#ifndef __x86_64__
#error "the instructions are those of x86-64"
#endif

#define FUNCTION(name, body) \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
            "\n.size " #name ", . - " #name "\n"); \
    long name(long);

FUNCTION(shared, "mov %rdi, %rax\n .Linside: cmp $0, %rdi\n jl 1f\n inc %rax\n ret\n 1: dec %rax\n ret")
FUNCTION(borrower, "lea 10(%rdi), %rax\n jmp .Linside")

int main(void)
{
    ready();
    long sum = 0;
    for (long i = -20; i < 100; i++) {
        sum += shared(i);
    }
    for (long i = -50; i < 300; i++) {
        sum += borrower(i);
    }
    printf("sum %ld\n", sum);
    truth("shared", 120);
    truth("borrower", 350);
    return 0;
}
