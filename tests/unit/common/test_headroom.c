#include "common/base/headroom.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/process.h"
#include "tests/unit/unit.h"

enum { GIVE_UP_MS = 20000, UNDER_WAY_BYTES = 8 << 20 };

static rlim_t used(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu", &pages) != 1)
        _exit(10);
    fclose(file);
    return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void allow(rlim_t bytes)
{
    struct rlimit limit = {.rlim_max = RLIM_INFINITY};
    limit.rlim_cur = bytes;
    if (setrlimit(RLIMIT_AS, &limit) != 0)
        _exit(11);
}

static void turn_until(struct event_base *base, bool left)
{
    int64_t end_ms = clock_mono_ms() + GIVE_UP_MS;
    while (headroom_left() != left) {
        event_base_loop(base, EVLOOP_ONCE);
        if (clock_mono_ms() > end_ms)
            _exit(12);
    }
}

/* A process of its own: the limit and the counts are the process's. */
static void child(void)
{
    struct event_base *base = event_base_new();
    struct headroom *headroom = headroom_new(base);
    void *work;
    if (!headroom || !headroom_left())
        _exit(1);
    for (int times = 1; times <= 2; times++) {
        allow(used());
        turn_until(base, false);
        work = malloc(UNDER_WAY_BYTES); /* there is room for what is under way */
        if (!work)
            _exit(2);
        free(work);
        allow(RLIM_INFINITY);
        turn_until(base, true);
        if (metric_get(&process_metrics.memory_shortages) != (uint64_t)times)
            _exit(3);
    }
    headroom_free(headroom);
    event_base_free(base);
    _exit(0);
}

static void test_a_shortage(void **state)
{
    int status = 0;
    pid_t pid = fork();
    (void)state;
    if (pid == 0)
        child();
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_shortage)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
