#include "tests/unit/unit.h"

#include "warmer/outbound/hours.h"

/* Seconds since 1970 of a moment of Thursday, 26 November 2026, UTC. */
static int64_t at(int hour, int minute)
{
    return 1795651200 + hour * 3600 + minute * 60;
}

static void test_every_day(void **state)
{
    (void)state;
    assert_int_equal(hours_next("08:00-21:00", "UTC", at(8, 0)), at(8, 0));
    assert_int_equal(hours_next("08:00-21:00", "UTC", at(20, 59)), at(20, 59));
    assert_int_equal(hours_next("08:00-21:00", "UTC", at(21, 0)), at(24 + 8, 0));
    assert_int_equal(hours_next("08:00-21:00", "UTC", at(7, 59)), at(8, 0));
    assert_int_equal(hours_next("00:00-24:00", "UTC", at(23, 59)), at(23, 59));
    assert_int_equal(hours_next("08:00-21:00", "Asia/Tokyo", at(12, 0)), at(23, 0)); /* 21:00 there */
    assert_int_equal(hours_next("08:00-21:00", "America/New_York", at(12, 0)), at(13, 0));
}

static void test_by_weekday(void **state)
{
    static const char days[] = "{\"thu\":[[\"09:00\",\"12:00\"],[\"13:00\",\"18:00\"]],\"sat\":[[\"10:00\",\"11:00\"]]}";
    (void)state;
    assert_int_equal(hours_next(days, "UTC", at(12, 30)), at(13, 0));
    assert_int_equal(hours_next(days, "UTC", at(18, 0)), at(48 + 10, 0));
    assert_int_equal(hours_next(days, "UTC", at(48 + 11, 0)), at(7 * 24 + 9, 0));
}

/* On 29 March 2026 Berlin's clocks go from 02:00 to 03:00; eight o'clock comes an hour sooner. */
static void test_summer_time(void **state)
{
    (void)state;
    assert_int_equal(hours_next("08:00-21:00", "Europe/Berlin", 1774742400 /* 00:00 UTC */), 1774764000 /* 06:00 UTC */);
}

static void test_refused(void **state)
{
    static const char *const bad[] = {"", "8-21", "08:00-25:00", "21:00-08:00", "08:00-21:00 ", "[]", "{}",
                                      "{\"thu\":[[\"9\",\"12\"]]}", "08:60-21:00"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(hours_next(bad[i], "UTC", at(0, 0)), -1);
        assert_false(hours_good(bad[i]));
    }
    assert_int_equal(hours_next("08:00-21:00", "Mars/Base", at(0, 0)), -1);
    assert_true(hours_good("08:00-21:00"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_by_weekday),
        cmocka_unit_test(test_summer_time),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
