#include "common/base/clock.h"

#include <time.h>

#include "tests/unit/unit.h"

static void test_wall_time_is_now(void **state)
{
    int64_t before = (int64_t)time(NULL) * 1000, read = clock_wall_ms(), after = (int64_t)time(NULL) * 1000;
    (void)state;
    /* time() may lag a tick behind and drops the fraction. */
    assert_in_range(read, before, after + 2000);
}

/* Over a wait of known length, so that a wrong unit shows. */
static void test_monotonic_units(void **state)
{
    struct timespec wait = {0, 20 * 1000 * 1000};
    int64_t ms = clock_mono_ms(), us = clock_mono_us();
    (void)state;
    assert_in_range(us / 1000 - ms, 0, 1000);
    nanosleep(&wait, NULL);
    ms = clock_mono_ms() - ms;
    us = clock_mono_us() - us;
    assert_in_range(ms, 19, 5000);
    assert_in_range(us, 20 * 1000, 5000 * 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wall_time_is_now),
        cmocka_unit_test(test_monotonic_units),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
