/* Generators on stacks of their own, that yield from the midst of probed frames: with swapcontext, and with
 * boost-style contexts (`jump_fcontext`), whose assembly is the usual way of switching stacks.
 */
#include <ucontext.h>

#include "target.h"

enum { STACK = 64 << 10, COROUTINES = 4 };

static _Alignas(16) char stacks[COROUTINES][STACK];

/* --- swapcontext --- */
static ucontext_t scheduler, contexts[COROUTINES];
static long yielded;

PROBED void yield_uc(int self, long value)
{
    yielded = value;
    swapcontext(&contexts[self], &scheduler);
}

PROBED long deeper_uc(int self, long depth, long value)
{
    if (depth == 0) {
        yield_uc(self, value);
        return value;
    }
    long below = deeper_uc(self, depth - 1, value + depth);
    yield_uc(self, below);
    return KEEP(below) + 1;
}

static void generator_uc(int self)
{
    for (long i = 0;; i++) {
        yield_uc(self, 1000 + deeper_uc(self, 2 + self, i));
    }
}

PROBED long next_uc(int self)
{
    swapcontext(&scheduler, &contexts[self]);
    return yielded;
}

PROBED long with_swapcontext(void)
{
    for (int i = 0; i < COROUTINES; i++) {
        getcontext(&contexts[i]);
        contexts[i].uc_stack.ss_sp = stacks[i];
        contexts[i].uc_stack.ss_size = STACK;
        contexts[i].uc_link = &scheduler;
        makecontext(&contexts[i], (void (*)(void))generator_uc, 1, i);
    }
    long sum = 0;
    for (int round = 0; round < 100; round++) {
        sum = sum * 31 + next_uc(round * 7 % COROUTINES);
    }
    return sum;
}

/* --- boost-style --- */
typedef struct {
    void *context;
    void *data;
} transfer_t;

transfer_t jump_fcontext(void *to, void *data);
void *make_fcontext(void *top, size_t size, void (*function)(transfer_t));

__asm__(".text\n.globl jump_fcontext\n.type jump_fcontext, @function\njump_fcontext:\n"
        " push %rbp\n push %rbx\n push %r15\n push %r14\n push %r13\n push %r12\n"
        " mov %rsp, %rax\n mov %rdi, %rsp\n"
        " pop %r12\n pop %r13\n pop %r14\n pop %r15\n pop %rbx\n pop %rbp\n pop %r8\n"
        " mov %rsi, %rdx\n mov %rax, %rdi\n jmp *%r8\n"
        ".size jump_fcontext, . - jump_fcontext\n"
        ".globl make_fcontext\n.type make_fcontext, @function\nmake_fcontext:\n"
        " mov %rdi, %rax\n and $-16, %rax\n sub $56, %rax\n mov %rdx, 32(%rax)\n"
        " lea fcontext_begin(%rip), %rcx\n mov %rcx, 48(%rax)\n ret\n"
        ".size make_fcontext, . - make_fcontext\n"
        ".type fcontext_begin, @function\nfcontext_begin:\n call *%rbx\n hlt\n"
        ".size fcontext_begin, . - fcontext_begin\n");

static void *caller_fc;
static void *contexts_fc[COROUTINES];

PROBED void yield_fc(long value)
{
    transfer_t back = jump_fcontext(caller_fc, (void *)value);
    caller_fc = back.context;
}

PROBED long deeper_fc(long depth, long value)
{
    if (depth == 0) {
        yield_fc(value);
        return value;
    }
    long below = deeper_fc(depth - 1, value + depth);
    yield_fc(below);
    return KEEP(below) + 1;
}

static void generator_fc(transfer_t from)
{
    caller_fc = from.context;
    long self = (long)from.data;
    for (long i = 0;; i++) {
        yield_fc(1000 + deeper_fc(2 + self, i));
    }
}

PROBED long next_fc(long self)
{
    transfer_t back = jump_fcontext(contexts_fc[self], (void *)self);
    contexts_fc[self] = back.context;
    return (long)back.data;
}

PROBED long with_fcontext(void)
{
    for (int i = 0; i < COROUTINES; i++) {
        contexts_fc[i] = make_fcontext(stacks[i] + STACK, STACK, generator_fc);
    }
    long sum = 0;
    for (int round = 0; round < 100; round++) {
        sum = sum * 31 + next_fc(round * 7 % COROUTINES);
    }
    return sum;
}

int main(int argc, char **argv)
{
    ready();
    printf("sum %ld\n", argc > 1 && !strcmp(argv[1], "fcontext") ? with_fcontext() : with_swapcontext());
    truth("next", 100);
    return 4;
}
