/* A little of everything, for builds of every kind. Prints where `work_*` are, for builds without symbols. */
#include "target.h"

extern const char __executable_start[];

static unsigned long calls[4];

PROBED long work_leaf(long n)
{
    calls[0]++;
    return n * 3 + 1;
}

PROBED long work_caller(long n)
{
    calls[1]++;
    return work_leaf(n) + work_leaf(n + 1);
}

PROBED long work_switch(long n)
{
    calls[2]++;
    switch (n & 7) {
    case 0: return work_leaf(n);
    case 1: return n + 3;
    case 2: return n ^ 0x55;
    case 3: return work_leaf(n) * 5;
    case 4: return n << 3;
    case 5: return n - 77;
    case 6: return n * n;
    default: return work_caller(n);
    }
}

PROBED double work_frame(double x, long n)
{
    volatile char buffer[300];
    calls[3]++;
    buffer[n & 255] = (char)n;
    return x + buffer[n & 255] + (double)work_leaf(n);
}

int main(void)
{
    ready();
    long sum = 0;
    for (long i = 0; i < 200; i++) {
        sum += work_caller(i) + work_switch(i) + (long)work_frame(1.5, i);
    }
    printf("sum %ld\n", sum);
    truth("work_leaf", calls[0]);
    truth("work_caller", calls[1]);
    truth("work_switch", calls[2]);
    truth("work_frame", calls[3]);
    printf("at work_leaf %#lx\n", (unsigned long)((const char *)work_leaf - __executable_start));
    printf("at work_caller %#lx\n", (unsigned long)((const char *)work_caller - __executable_start));
    printf("at work_switch %#lx\n", (unsigned long)((const char *)work_switch - __executable_start));
    printf("at work_frame %#lx\n", (unsigned long)((const char *)work_frame - __executable_start));
    return 0;
}
