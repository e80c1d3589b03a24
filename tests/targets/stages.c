/* Memory in three stages, each left when a byte comes: as it began, with blocks that are touched, without them. At each it
 * prints what the kernel says of it (`/proc/self/statm`), and allocates nothing to do so.
 */
#include "target.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>

#define LARGE (64ul << 20)
#define SMALL 1000
#define SMALLS 5000

static char *large, *smalls[SMALLS];

/* `STAGE NAME RSS`, in bytes. */
static void stage(const char *name)
{
    static char text[256], line[64];
    int file = open("/proc/self/statm", O_RDONLY);
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    if (length <= 0)
        _Exit(98);
    text[length] = '\0';
    char *rest;
    strtoull(text, &rest, 10);
    unsigned long long rss = strtoull(rest, NULL, 10) * 4096;
    announce(line, snprintf(line, sizeof line, "stage %s %llu\n", name, rss));
    wait_for_go();
}

int main(int argc, char **argv)
{
    (void)argv;
    /* With an argument it has a child, and both do nothing. */
    if (argc > 1) {
        pid_t child = fork();
        if (child == 0) {
            pause();
            return 0;
        }
        ready();
        kill(child, SIGKILL);
        return waitpid(child, NULL, 0) != child;
    }
    ready();
    stage("begun");
    large = malloc(LARGE);
    memset(large, 1, LARGE);
    for (int i = 0; i < SMALLS; i++)
        smalls[i] = malloc(SMALL);
    stage("grown");
    free(large);
    for (int i = 0; i < SMALLS; i++)
        free(smalls[i]);
    stage("shrunk");
    return 0;
}
