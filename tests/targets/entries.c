/* Functions by their first instructions, written out so that no compiler chooses. Each takes a number and returns it
 * plus one. `loops_*` jump back to an instruction that a planner of probe sites would like to use.
 */
#include "target.h"

#ifndef __x86_64__
#error "the first instructions are those of x86-64"
#endif

#define FUNCTION(name, body) \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
            "\n.size " #name ", . - " #name "\n"); \
    long name(long);

FUNCTION(first_endbr64, "endbr64\n lea 1(%rdi), %rax\n ret")
FUNCTION(first_endbr64_push, "endbr64\n push %rbx\n lea 1(%rdi), %rbx\n mov %rbx, %rax\n pop %rbx\n ret")
FUNCTION(first_push, "push %rbx\n lea 1(%rdi), %rbx\n mov %rbx, %rax\n pop %rbx\n ret")
FUNCTION(first_push_r12, "push %r12\n lea 1(%rdi), %r12\n mov %r12, %rax\n pop %r12\n ret")
FUNCTION(first_mov, "mov %rdi, %rax\n push %rbx\n pop %rbx\n add $1, %rax\n ret")
FUNCTION(first_sub_rsp, "sub $24, %rsp\n mov %rdi, 8(%rsp)\n mov 8(%rsp), %rax\n inc %rax\n add $24, %rsp\n ret")
FUNCTION(first_jcc, "jc 1f\n lea 1(%rdi), %rax\n ret\n 1: mov %rdi, %rax\n inc %rax\n ret")
FUNCTION(first_test_je, "test %rdi, %rdi\n je 1f\n lea 1(%rdi), %rax\n ret\n 1: mov $1, %eax\n ret")
FUNCTION(first_jmp, "jmp 1f\n ud2\n 1: lea 1(%rdi), %rax\n ret")
FUNCTION(first_call, "call 1f\n 1: add $8, %rsp\n lea 1(%rdi), %rax\n ret")
FUNCTION(first_nop, "nop\n lea 1(%rdi), %rax\n ret")
FUNCTION(first_nop5, "nopl 0(%rax,%rax,1)\n lea 1(%rdi), %rax\n ret")
FUNCTION(first_nop5_push, "nopl 0(%rax,%rax,1)\n push %rbx\n lea 1(%rdi), %rax\n pop %rbx\n ret")
FUNCTION(first_xor, "xor %eax, %eax\n push %rbp\n mov %rsp, %rbp\n lea 1(%rdi), %rax\n pop %rbp\n ret")
FUNCTION(first_rip_relative, "mov addend(%rip), %rax\n push %rbx\n add %rdi, %rax\n pop %rbx\n ret")
FUNCTION(first_writes_argument, "add $1, %rdi\n push %rbx\n mov %rdi, %rax\n pop %rbx\n ret")
FUNCTION(ends_in_rep_ret, "lea 1(%rdi), %rax\n rep ret")
FUNCTION(ends_in_ret_immediate, "lea 1(%rdi), %rax\n ret $0")
FUNCTION(ends_in_two_places, "push %rbx\n test $1, %dil\n je 1f\n lea 1(%rdi), %rax\n pop %rbx\n ret\n"
         " 1: mov %rdi, %rax\n inc %rax\n pop %rbx\n ret")
/* Goes round three times, each time through its second instruction: an emulated one, which must not carry the probe. */
FUNCTION(loops_to_second_nop, "mov $3, %ecx\n 1: nopl 0(%rax)\n dec %ecx\n jne 1b\n lea 1(%rdi), %rax\n ret")
FUNCTION(loops_to_second_push, "mov $3, %ecx\n 1: push %rdi\n pop %rax\n dec %ecx\n jne 1b\n inc %rax\n ret")
FUNCTION(loops_by_loop, "mov $3, %ecx\n 1: nopl 0(%rax)\n loop 1b\n lea 1(%rdi), %rax\n ret")
FUNCTION(loops_to_third, "endbr64\n mov $3, %ecx\n 1: push %rdi\n pop %rax\n dec %ecx\n jne 1b\n inc %rax\n ret")
FUNCTION(loops_through_table, "mov $3, %ecx\n 1: push %rdi\n pop %rax\n dec %ecx\n je 2f\n"
         " lea 1b(%rip), %rdx\n jmp *%rdx\n 2: inc %rax\n ret")
FUNCTION(loops_from_cold, "mov $3, %ecx\n .Lfrom_cold_inside: push %rdi\n pop %rax\n"
         " jmp loops_from_cold.cold\n .Lfrom_cold_out: inc %rax\n ret")
FUNCTION(first_nop4, "nopl 0(%rax)\n test %rsi, %rsi\n jne 1f\n mov %rdi, %rax\n inc %rax\n ret\n"
         " 1: xor %esi, %esi\n inc %rdi\n mov %rdi, %rax\n ret")
__asm__(".section .text.unlikely\n.globl loops_from_cold.cold\n.type loops_from_cold.cold, @function\n"
        "loops_from_cold.cold:\n dec %ecx\n jne .Lfrom_cold_inside\n jmp .Lfrom_cold_out\n"
        ".size loops_from_cold.cold, . - loops_from_cold.cold\n.text\n");

long addend = 1;

static const struct {
    const char *name;
    long (*function)(long);
} FUNCTIONS[] = {
#define ROW(name) { #name, name }
    ROW(first_endbr64), ROW(first_endbr64_push), ROW(first_push), ROW(first_push_r12), ROW(first_mov),
    ROW(first_sub_rsp), ROW(first_jcc), ROW(first_test_je), ROW(first_jmp), ROW(first_call), ROW(first_nop),
    ROW(first_nop5), ROW(first_nop5_push), ROW(first_xor), ROW(first_rip_relative), ROW(first_writes_argument),
    ROW(ends_in_rep_ret), ROW(ends_in_ret_immediate), ROW(ends_in_two_places), ROW(loops_to_second_nop),
    ROW(loops_to_second_push), ROW(loops_by_loop), ROW(loops_to_third), ROW(loops_through_table),
    ROW(loops_from_cold), ROW(first_nop4),
};

int main(void)
{
    ready();
    long wrong = 0;
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        long calls = 100 + (long)i;
        for (long value = 0; value < calls; value++) {
            wrong += FUNCTIONS[i].function(value) != value + 1;
        }
        truth(FUNCTIONS[i].name, calls);
    }
    printf("wrong results %ld\n", wrong);
    return wrong != 0;
}
