/* Functions that leave by a jump to another one. */
#include "target.h"

#define FUNCTION(name, body) \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
            "\n.size " #name ", . - " #name "\n"); \
    long name(long);

FUNCTION(last, "push %rbx\n lea 1(%rdi), %rax\n pop %rbx\n ret")
FUNCTION(by_jump, "inc %rdi\n jmp last")
FUNCTION(by_jump_after_frame, "push %rbx\n inc %rdi\n pop %rbx\n jmp last")
FUNCTION(by_condition, "test $1, %dil\n je last\n mov %rdi, %rax\n ret")
FUNCTION(by_chain, "push %rbp\n inc %rdi\n pop %rbp\n jmp by_jump")
FUNCTION(by_pointer, "mov pointer(%rip), %rax\n jmp *%rax")

long (*pointer)(long) = last;

int main(void)
{
    ready();
    long sum = 0;
    for (long i = 0; i < 100; i++) {
        sum += last(i) + by_jump(i) + by_jump_after_frame(i) + by_condition(i) + by_chain(i) + by_pointer(i);
    }
    printf("sum %ld\n", sum);
    truth("by_chain", 100);
    truth("by_jump", 100 + 100);
    truth("by_jump_after_frame", 100);
    truth("by_condition", 100);
    truth("by_pointer", 100);
    /* directly, from by_jump (also through by_chain), by_jump_after_frame, half of by_condition, by_pointer */
    truth("last", 100 + 200 + 100 + 50 + 100);
    return 0;
}
