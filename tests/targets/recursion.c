/* gcd(7, 12) is 6 calls; descend(DEPTH) is as deep as it says; even and odd call each other. */
#include "target.h"

static unsigned long calls_gcd, calls_descend, calls_even, calls_odd;

PROBED long gcd(long a, long b)
{
    calls_gcd++;
    return b == 0 ? a : KEEP(gcd(b, a % b));
}

PROBED long unrelated(long a)
{
    return a + 1;
}

PROBED long descend(long depth)
{
    calls_descend++;
    return depth == 1 ? 1 : 1 + KEEP(descend(depth - 1));
}

PROBED long odd(long n);

PROBED long even(long n)
{
    calls_even++;
    return n == 0 ? 0 : KEEP(odd(n - 1)) + 1;
}

PROBED long odd(long n)
{
    calls_odd++;
    return n == 0 ? 0 : KEEP(even(n - 1)) + 1;
}

int main(int argc, char **argv)
{
    long depth = argc > 1 ? atol(argv[1]) : 500;
    if (depth < 0) {
        unrelated(depth);
    }
    ready();
    printf("gcd %ld\n", gcd(7, 12));
    printf("descend %ld\n", descend(depth));
    printf("even %ld\n", even(40));
    truth("gcd", calls_gcd);
    truth("descend", calls_descend);
    truth("even", calls_even);
    truth("odd", calls_odd);
    return 0;
}
