/* `outer` calls `inner`, which leaves both by longjmp every second time. `after` heals whatever was left. */
#include <setjmp.h>

#include "target.h"

static jmp_buf home;
static volatile long back;

PROBED long inner(long i)
{
    if (i & 1) {
        longjmp(home, 1);
    }
    return i + 1;
}

PROBED long outer(long i)
{
    return inner(i) * 2 + 1;
}

PROBED long after(long i)
{
    return i + 7;
}

int main(void)
{
    volatile long sum = 0;
    volatile long i;
    ready();
    for (i = 0; i < 100; i++) {
        if (setjmp(home) == 0) {
            sum += outer(i);
        } else {
            back++;
        }
    }
    sum += after(sum);
    printf("sum %ld back %ld\n", sum, back);
    truth("outer", 100);
    truth("inner", 100);
    truth("after", 1);
    truth("left", back);
    return 0;
}
