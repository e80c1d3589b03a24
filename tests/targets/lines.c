/* Functions with known lines, some of which have no entry: they were inlined. The tests name these lines. */
#include "target.h"

ALWAYS_INLINE long scaled(volatile long *factor, long value)
{
    return value * *factor;
}

ALWAYS_INLINE long scaled_twice(volatile long *factor, long value)
{
    return scaled(factor, value) + scaled(factor, value + 1);
}

PROBED long sum_up(volatile long *factor, long count)
{
    long sum = 0;
    for (long value = 0; value < count; value++)
        sum += scaled(factor, value);
    return sum;
}

PROBED long pair(volatile long *factor, long value)
{
    if (value % 2)
        return scaled_twice(factor, value);
    return value;
}

int main(void)
{
    volatile long factor = 3;
    long sum = 0;
    ready();
    for (long value = 0; value < 100; value++)
        sum += sum_up(&factor, value % 10) + pair(&factor, value);
    printf("sum %ld\n", sum);
    truth("sum_up", 100);
    truth("pair", 100);
    truth("scaled in sum_up", 450);
    truth("scaled in pair", 100);
    truth("scaled_twice", 50);
    return 0;
}
