/* Loses blocks of different sizes in two places, and frees others. */
#include "target.h"

static void *volatile kept;

PROBED static void lose(size_t size)
{
    kept = malloc(size);
}

PROBED static void lose_more(size_t size)
{
    kept = calloc(3, size);
}

PROBED static void use(size_t size)
{
    void *block = KEEP(malloc(size));
    block = realloc(block, 2 * size);
    free(block);
}

int main(void)
{
    ready();
    for (size_t i = 1; i <= 100; i++) {
        use(i);
        lose(i * 7);
        if (i % 10 == 0) {
            lose_more(i);
        }
    }
    kept = NULL;
    return 0;
}
