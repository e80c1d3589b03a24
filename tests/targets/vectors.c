/* Functions that begin with a vector instruction whose opcode byte, behind its VEX prefix, is that of a jump: kernels
 * that look at that byte alone take it for one and do not execute it. And an exchange of two registers that they take for a `nop`.
 */
#include "target.h"

#ifndef __x86_64__
#error "the first instructions are those of x86-64"
#endif

#define ASSEMBLED(name, body) \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" body \
            "\n.size " #name ", . - " #name "\n");

#define FUNCTION(name, body) \
    ASSEMBLED(name, body) \
    long name(double, double);

FUNCTION(first_vmovq, "vmovq %xmm0, %rax\n ret")                       /* 7e: jle */
FUNCTION(first_vpor, "vpor %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret")         /* eb: jmp */
FUNCTION(first_vpcmpeqb, "vpcmpeqb %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret") /* 74: je */
FUNCTION(first_vpsubsb, "vpsubsb %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret")   /* e8: call */
FUNCTION(first_vpminsw, "vpminsw %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret")   /* ea: far jmp */
FUNCTION(first_vcmppd, "vcmppd $1, %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret") /* c2: ret */
FUNCTION(first_vxorps, "vxorps %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret")     /* 57: push */
FUNCTION(first_vaddsd, "vaddsd %xmm1, %xmm0, %xmm0\n movq %xmm0, %rax\n ret")     /* 58: nothing special */
ASSEMBLED(first_xchg, "xchg %r8, %rax\n ret")                                    /* 90: nop */
long first_xchg(long, long, long, long, long);

int main(void)
{
    if (!__builtin_cpu_supports("avx")) {
        ready();
        printf("no vectors\n");
        return 0;
    }
    ready();
    long sums[9] = { 0 };
    for (long i = 0; i < 100; i++) {
        double left = (double)i + 0.25, right = (double)(i * 3);
        sums[0] += first_vmovq(left, right);
        sums[1] += first_vpor(left, right);
        sums[2] += first_vpcmpeqb(left, right);
        sums[3] += first_vpsubsb(left, right);
        sums[4] += first_vxorps(left, right);
        sums[5] += first_vaddsd(left, right);
        sums[6] += first_vpminsw(left, right);
        sums[8] += first_xchg(1, 2, 3, 4, i);
        sums[7] += first_vcmppd(left, right);
    }
    for (int i = 0; i < 9; i++) {
        printf("sum %lx\n", sums[i]);
    }
    return 0;
}
