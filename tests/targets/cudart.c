/* Stands in for CUDA's runtime: the same names and shapes, addresses out of a counter. */
#include <stddef.h>

static char *next = (char *)0x7000000000;

static int give(void **place, size_t size)
{
    if (size > (1ul << 40))
        return 2;
    *place = next;
    next += (size + 255) / 256 * 256;
    return 0;
}

int cudaMalloc(void **place, size_t size) { return give(place, size); }
int cudaMallocManaged(void **place, size_t size, unsigned flags) { return flags ? give(place, size) : 1; }
int cudaHostAlloc(void **place, size_t size, unsigned flags) { return flags ? 1 : give(place, size); }
int cudaMallocPitch(void **place, size_t *pitch, size_t width, size_t height)
{
    *pitch = width;
    return give(place, width * height);
}
int cudaFree(void *block) { return block == (void *)1; }
int cudaFreeHost(void *block) { return block == (void *)1; }
