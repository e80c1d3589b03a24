/* `focused` calls `inner` before, between and after library calls, and `deep` below them; `unfocused` and a second
 * thread call the same functions outside. A focused function that calls itself, and one left by longjmp, are here too.
 */
#include <pthread.h>
#include <setjmp.h>

#include "target.h"

static jmp_buf home;
static char text[64] = "text";

PROBED long inner(long n)
{
    return n + 1;
}

PROBED long deep(long n)
{
    return KEEP(inner(n)) + KEEP(inner(n + 1));
}

PROBED long compare(const void *left, const void *right)
{
    return inner(*(const long *)left) - inner(*(const long *)right);
}

static int compare_for_qsort(const void *left, const void *right)
{
    return (int)compare(left, right);
}

/* 4 direct calls of inner, 2 through deep; the comparisons come out of the library. */
PROBED long focused(long n)
{
    long pair[2] = { n + 1, n };
    long sum = KEEP(inner(n));
    sum += (long)strlen(text);
    sum += KEEP(inner(n));
    snprintf(text, sizeof text, "%ld", n);
    sum += KEEP(inner(n)) + KEEP(deep(n));
    qsort(pair, 2, sizeof *pair, compare_for_qsort);
    return sum + KEEP(inner(pair[0]));
}

PROBED long unfocused(long n)
{
    return KEEP(inner(n)) + KEEP(deep(n));
}

/* DEPTH calls of itself, an inner in each after the deeper one has returned. */
PROBED long focused_recursive(long depth)
{
    if (depth > 1) {
        focused_recursive(depth - 1);
    }
    return KEEP(inner(depth)) + 1;
}

PROBED long focused_left(long n)
{
    long value = KEEP(inner(n));
    if (n > 0) {
        longjmp(home, 1);
    }
    return value;
}

static void *other_thread(void *unused)
{
    (void)unused;
    long sum = 0;
    for (long i = 0; i < 1000; i++) {
        sum += unfocused(i);
    }
    return (void *)sum;
}

int main(void)
{
    pthread_t thread;
    void *result;
    ready();
    volatile long sum = 0;
    pthread_create(&thread, NULL, other_thread, NULL);
    for (long i = 0; i < 100; i++) {
        sum += unfocused(i) + focused(i);
    }
    pthread_join(thread, &result);
    sum += focused_recursive(5);
    if (setjmp(home) == 0) {
        focused_left(1);
    }
    for (long i = 0; i < 50; i++) {
        sum += unfocused(i);
    }
    printf("sum %ld %ld\n", sum, (long)result);
    truth("focused", 100);
    truth("compare", 100);
    truth("deep", 100);
    truth("focused_recursive", 5);
    truth("focused_left", 1);
    truth("inner", 100 * (4 + 2 + 2) + 5 + 1);
    truth("unfocused", 0);
    return 0;
}
