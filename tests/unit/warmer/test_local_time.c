#include "warmer/local_time.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void test_zones(void **state)
{
    static const struct {
        int64_t now;
        const char *zone, *text;
    } rows[] = {
        {1795186260, "UTC", "Friday, 20 November 2026, 14:51"},
        {1795186260, "Asia/Jerusalem", "Friday, 20 November 2026, 16:51"},
        {1795186260, "America/New_York", "Friday, 20 November 2026, 09:51"},
        {1795186260, "Asia/Kolkata", "Friday, 20 November 2026, 20:21"},
        {1795186260, "Pacific/Auckland", "Saturday, 21 November 2026, 03:51"},
        {1782831600, "America/New_York", "Tuesday, 30 June 2026, 11:00"}, /* summer */
        {0, "UTC", "Thursday, 1 January 1970, 00:00"},
    };
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            char text[LOCAL_TIME_SIZE];
            assert_true(local_time(text, rows[i].zone, rows[i].now));
            assert_string_equal(text, rows[i].text);
        }
    }
}

/* Neither a directory, nor a way out of the zones' own, nor what libc would take for a rule. */
static void test_no_zones(void **state)
{
    static const char *const zones[] = {"", "Mars/Olympus", "America", "America/", "/etc/passwd", "../zoneinfo/UTC",
                                        "EST5EDT,M3.2.0,M11.1.0", "UTC ", ":UTC", "a\nb"};
    char text[LOCAL_TIME_SIZE];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        if (local_time(text, zones[i], 0))
            fail_msg("took \"%s\"", zones[i]);
    }
    assert_true(local_time(text, "UTC", 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_no_zones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
