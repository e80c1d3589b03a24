/* Pages of each kind come and go, each lot within a function of its own. It prints how many.
 *
 * With `fork` a child does the same in the memory that it has inherited; with `exec` the program starts itself again.
 */
#include "target.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define PAGE 4096ul
#define ANONYMOUS 300ul
#define RETURNED 120ul
#define SHARED 80ul
#define FILED 64ul
#define RECEIVED 40ul

static char *anonymous, *shared, *filed, *received;
static volatile char seen;

static char *area(unsigned long pages, int flags, int file)
{
    char *found = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, file, 0);
    if (found == MAP_FAILED)
        _Exit(97);
    madvise(found, pages * PAGE, MADV_NOHUGEPAGE);
    return found;
}

PROBED void fill(char *from, unsigned long pages)
{
    for (unsigned long page = 0; page < pages; page++)
        from[page * PAGE] = 1;
}

PROBED void load(void)
{
    fill(anonymous, ANONYMOUS);
    seen = anonymous[0];
}

PROBED void share(void)
{
    fill(shared, SHARED);
    seen = shared[0];
}

PROBED void look(void)
{
    for (unsigned long page = 0; page < FILED; page++)
        seen += filed[page * PAGE];
}

/* The kernel writes to these pages, not the program. */
PROBED void receive(int zeros)
{
    if (read(zeros, received, RECEIVED * PAGE) != (ssize_t)(RECEIVED * PAGE))
        _Exit(96);
    seen = received[0];
}

PROBED void give_back(void)
{
    if (madvise(anonymous, RETURNED * PAGE, MADV_DONTNEED))
        _Exit(95);
}

static void work(int zeros)
{
    load();
    share();
    look();
    receive(zeros);
    give_back();
}

/* A file whose pages are all in memory. */
static int a_file(void)
{
    char name[] = "/tmp/growth-XXXXXX";
    int file = mkstemp(name);
    unlink(name);
    static char page[PAGE];
    for (unsigned long i = 0; i < FILED; i++)
        if (write(file, page, PAGE) != (ssize_t)PAGE)
            _Exit(94);
    return file;
}

int main(int argc, char **argv)
{
    int zeros = open("/dev/zero", O_RDONLY);
    int file = a_file();
    anonymous = area(ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    shared = area(SHARED, MAP_SHARED | MAP_ANONYMOUS, -1);
    filed = area(FILED, MAP_PRIVATE, file);
    received = area(RECEIVED, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    char *first = area(1, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    int starts_again = argc > 1 && strcmp(argv[1], "exec") == 0;
    int has_child = argc > 1 && strcmp(argv[1], "fork") == 0;
    if (argc > 1 && strcmp(argv[1], "now") == 0) {
        work(zeros);
        return 0;
    }
    ready();
    /* What it had is known from its first change on. */
    first[0] = 1;
    if (starts_again) {
        execl("/proc/self/exe", argv[0], "now", NULL);
        return 1;
    }
    if (has_child) {
        pid_t child = fork();
        if (child == 0) {
            work(zeros);
            _Exit(0);
        }
        return waitpid(child, NULL, 0) != child;
    }
    work(zeros);
    /* It ends when another byte comes. */
    printf("truth anonymous %lu\n", ANONYMOUS * PAGE);
    fflush(stdout);
    wait_for_go();
    return 0;
}
