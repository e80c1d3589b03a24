/* Functions that take a known time. Each states how long its own body took (`inside`) and how long its callers waited
 * for it (`outside`): what a profiler measures lies between the two.
 */
#include "target.h"

struct clocked {
    unsigned long long calls, inside, outside;
};

static struct clocked spin_clock, sleep_clock, parent_clock, nest_clock;

#define CLOCKED(clock, call) \
    do { \
        unsigned long long start = now_ns(); \
        call; \
        clock.outside += now_ns() - start; \
    } while (0)

PROBED void spin(unsigned long long duration)
{
    unsigned long long start = now_ns(), now;
    do {
        now = now_ns();
    } while (now - start < duration);
    spin_clock.calls++;
    spin_clock.inside += now_ns() - start;
}

PROBED void sleep_for(long duration)
{
    unsigned long long start = now_ns();
    struct timespec time = { .tv_nsec = duration };
    nanosleep(&time, NULL);
    sleep_clock.calls++;
    sleep_clock.inside += now_ns() - start;
}

/* Its own work is 4 ms; the rest is its children's. */
PROBED void parent(void)
{
    unsigned long long start = now_ns();
    CLOCKED(spin_clock, spin(3000000));
    CLOCKED(sleep_clock, sleep_for(5000000));
    unsigned long long own = now_ns();
    while (now_ns() - own < 4000000) {
    }
    CLOCKED(spin_clock, spin(2000000));
    parent_clock.calls++;
    parent_clock.inside += now_ns() - start;
}

/* Four deep, 10 ms at each level: 40 + 30 + 20 + 10 ms, 25 ms on average. */
PROBED void nest(long depth)
{
    unsigned long long start = now_ns();
    while (now_ns() - start < 10000000) {
    }
    if (depth > 1) {
        CLOCKED(nest_clock, nest(depth - 1));
    }
    nest_clock.calls++;
    nest_clock.inside += now_ns() - start;
}

static void state(const char *name, struct clocked clock)
{
    char line[64];
    snprintf(line, sizeof line, "%s calls", name);
    truth(line, clock.calls);
    snprintf(line, sizeof line, "%s inside", name);
    truth(line, clock.inside);
    snprintf(line, sizeof line, "%s outside", name);
    truth(line, clock.outside);
}

int main(void)
{
    ready();
    for (int i = 0; i < 10; i++) {
        CLOCKED(spin_clock, spin(5000000));
        CLOCKED(sleep_clock, sleep_for(5000000));
        CLOCKED(parent_clock, parent());
    }
    CLOCKED(nest_clock, nest(4));
    state("spin", spin_clock);
    state("sleep_for", sleep_clock);
    state("parent", parent_clock);
    state("nest", nest_clock);
    return 0;
}
