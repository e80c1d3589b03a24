/* GLib's slices. */
#include "target.h"

#include <glib.h>

#define SLICES 300

PROBED void work(gpointer *slices)
{
    for (int i = 0; i < SLICES; i++)
        slices[i] = KEEP(i % 3 == 0 ? g_slice_alloc0(8 + i) : g_slice_alloc(8 + i));
    for (int i = 0; i < SLICES; i += 2)
        g_slice_free1(8 + i, slices[i]);
    __asm__ volatile("");
}

int main(void)
{
    static gpointer slices[SLICES];
    unsigned long long bytes = 0, live = 0;
    for (int i = 0; i < SLICES; i++) {
        bytes += 8 + i;
        live += i % 2 ? 8 + i : 0;
    }
    ready();
    work(slices);
    truth("allocations", SLICES);
    truth("bytes", bytes);
    truth("frees", SLICES / 2);
    truth("live_count", SLICES / 2);
    truth("live_bytes", live);
    return 0;
}
