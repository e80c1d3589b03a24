/* Memory of a device, by the names that CUDA's runtime has. */
#include "target.h"

int cudaMalloc(void **place, size_t size);
int cudaMallocManaged(void **place, size_t size, unsigned flags);
int cudaHostAlloc(void **place, size_t size, unsigned flags);
int cudaMallocPitch(void **place, size_t *pitch, size_t width, size_t height);
int cudaFree(void *block);
int cudaFreeHost(void *block);

PROBED int work(void)
{
    void *first, *second, *third, *fourth, *none;
    size_t pitch;
    int failed = 0;
    failed += KEEP(cudaMalloc(&first, 1000)) != 0;
    failed += KEEP(cudaMallocManaged(&second, 2000, 1)) != 0;
    failed += KEEP(cudaHostAlloc(&third, 300, 0)) != 0;
    failed += KEEP(cudaMallocPitch(&fourth, &pitch, 64, 10)) != 0;
    failed += KEEP(cudaMalloc(&none, 1ul << 50)) != 0;
    failed += KEEP(cudaMallocManaged(&none, 10, 0)) != 0;
    KEEP(cudaFree(second));
    KEEP(cudaFreeHost(third));
    KEEP(cudaFree(NULL));
    return failed;
}

int main(void)
{
    ready();
    truth("failed", work());
    truth("allocations", 4);
    truth("bytes", 1000 + 2000 + 300 + 640);
    truth("frees", 2);
    truth("live_count", 2);
    truth("live_bytes", 1640);
    return 0;
}
