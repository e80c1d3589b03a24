/* One function under three names. */
#include "target.h"

PROBED long first_name(long n)
{
    return n + 1;
}

long second_name(long n) __attribute__((alias("first_name")));
long third_name(long n) __attribute__((weak, alias("first_name")));

int main(void)
{
    ready();
    long sum = 0;
    for (long i = 0; i < 100; i++) {
        sum += first_name(i) + second_name(i) + third_name(i);
    }
    printf("sum %ld\n", sum);
    truth("all", 300);
    return 0;
}
