#include "tests/unit/unit.h"

#include <string.h>

#include "worker/tools/calendar.h"

#define OFFICE "{\"mon\":[[\"09:00\",\"12:00\"],[\"13:00\",\"18:00\"]],\"tue\":[[\"09:00\",\"18:00\"]]}"

static int64_t at(const char *text)
{
    int64_t seconds;
    if (!iso_time_parse(text, &seconds))
        fail_msg("no time: %s", text);
    return seconds;
}

static struct span span(const char *from, const char *to)
{
    return (struct span){at(from), at(to)};
}

static struct calendar *calendar(const char *zone, const char *hours, const char *booked)
{
    const char *why;
    struct calendar *cal = calendar_new(zone, hours, booked, &why);
    if (!cal)
        fail_msg("%s", why);
    return cal;
}

/* The free times of a date, as "09:00 09:30 ..." by the business's clock. */
static const char *day_starts(const struct calendar *cal, const char *date, int minutes)
{
    static char text[1024];
    int64_t starts[64];
    struct span day;
    assert_true(calendar_day(cal, date, &day));
    *text = '\0';
    for (size_t i = 0, n = calendar_free_starts(cal, day, minutes * 60, starts, ARRAY_LEN(starts)); i < n; i++) {
        char one[CALENDAR_TIME_SIZE];
        calendar_format(cal, one, starts[i]);
        assert_memory_equal(one, date, 10);
        one[16] = ' '; /* of 2026-11-24T10:00:00... only the hour and minute */
        one[17] = '\0';
        strcat(text, one + 11);
    }
    return text;
}

static void test_iso_times(void **state)
{
    static const char *const bad[] = {"", "tomorrow", "2026-11-24", "2026-11-24T10:00:00", "2026-11-24T10:00:00+99:00",
                                      "2026-11-24T10:00:00Zulu", "2026-13-24T10:00:00Z", "2026-02-31T10:00:00Z",
                                      "2026-11-24T25:00Z", "2026-11-24T10:00+02:60"};
    char text[CALENDAR_TIME_SIZE];
    int64_t seconds;
    (void)state;
    assert_int_equal(at("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(at("2026-11-24T10:00:00+02:00"), at("2026-11-24T08:00:00Z"));
    assert_int_equal(at("2026-11-24T10:00-05:30"), at("2026-11-24T15:30:00.250Z"));
    iso_time_format(text, at("2024-02-29T23:59:59Z"));
    assert_string_equal(text, "2024-02-29T23:59:59Z");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        if (iso_time_parse(bad[i], &seconds))
            fail_msg("taken: %s", bad[i]);
    }
}

static void test_working_hours(void **state)
{
    struct calendar *cal = calendar("UTC", OFFICE, "");
    (void)state;
    assert_string_equal(day_starts(cal, "2026-11-23", 60),
                        "09:00 09:30 10:00 10:30 11:00 13:00 13:30 14:00 14:30 15:00 15:30 16:00 16:30 17:00 ");
    assert_string_equal(day_starts(cal, "2026-11-24", 9 * 60), "09:00 ");
    assert_string_equal(day_starts(cal, "2026-11-25", 30), ""); /* Wednesday is closed */
    assert_true(calendar_open(cal, span("2026-11-23T09:00:00Z", "2026-11-23T12:00:00Z")));
    assert_false(calendar_open(cal, span("2026-11-23T08:59:00Z", "2026-11-23T09:30:00Z")));
    assert_false(calendar_open(cal, span("2026-11-23T11:45:00Z", "2026-11-23T12:15:00Z")));
    assert_false(calendar_open(cal, span("2026-11-23T11:00:00Z", "2026-11-23T14:00:00Z"))); /* over lunch */
    assert_false(calendar_open(cal, span("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z")));
    calendar_free(cal);
}

static void test_any_time(void **state)
{
    static const char *const nothing[] = {"", "{}"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nothing); i++) {
        struct calendar *cal = calendar("", nothing[i], "");
        int64_t starts[64];
        assert_true(calendar_open(cal, span("2026-11-22T03:00:00Z", "2026-11-22T04:00:00Z")));
        assert_int_equal(calendar_free_starts(cal, span("2026-11-22T10:10:00Z", "2026-11-22T12:00:00Z"), 1800, starts, 64), 3);
        assert_int_equal(starts[0], at("2026-11-22T10:30:00Z"));
        calendar_free(cal);
    }
}

static void test_hours_that_meet_or_pass_midnight(void **state)
{
    struct calendar *bar = calendar("UTC", "{\"fri\":[[\"18:00\",\"02:00\"]],\"sat\":[[\"02:00\",\"04:00\"],[\"00:00\",\"01:00\"]]}", "");
    struct calendar *night = calendar("UTC", "{\"mon\":[[\"12:00\",\"24:00\"]],\"tue\":[[\"00:00\",\"06:00\"]]}", "");
    (void)state;
    assert_true(calendar_open(bar, span("2026-11-27T23:30:00Z", "2026-11-28T03:59:00Z")));
    assert_false(calendar_open(bar, span("2026-11-28T03:30:00Z", "2026-11-28T04:30:00Z")));
    assert_false(calendar_open(bar, span("2026-11-28T23:30:00Z", "2026-11-28T23:45:00Z"))); /* of Friday only */
    assert_true(calendar_open(night, span("2026-11-23T23:00:00Z", "2026-11-24T01:00:00Z")));
    assert_true(calendar_open(night, span("2026-11-24T00:00:00Z", "2026-11-24T06:00:00Z")));
    calendar_free(bar);
    calendar_free(night);
}

static void test_taken(void **state)
{
    struct calendar *cal = calendar("UTC", "{\"tue\":[[\"09:00\",\"12:00\"]]}",
                                    "[{\"start\":\"2026-11-24T09:45:00Z\",\"end\":\"2026-11-24T10:30:00Z\"},"
                                    "{\"start\":\"2026-11-24T12:30:00+01:00\",\"end\":\"2026-11-24T13:00:00+01:00\"}]");
    (void)state;
    assert_string_equal(day_starts(cal, "2026-11-24", 30), "09:00 10:30 11:00 ");
    assert_true(calendar_taken(cal, span("2026-11-24T10:29:00Z", "2026-11-24T11:00:00Z")));
    assert_false(calendar_taken(cal, span("2026-11-24T10:30:00Z", "2026-11-24T11:00:00Z"))); /* begins where it ends */
    assert_false(calendar_taken(cal, span("2026-11-24T09:00:00Z", "2026-11-24T09:45:00Z")));
    assert_true(calendar_taken(cal, span("2026-11-24T11:45:00Z", "2026-11-24T11:50:00Z")));
    calendar_free(cal);
}

/* Berlin turns its clocks on 2026-03-29 at 2:00 (to 3:00) and on 2026-10-25 at 3:00 (to 2:00). */
static void test_the_days_clocks_are_turned(void **state)
{
    struct calendar *cal = calendar("Europe/Berlin", "{\"sun\":[[\"01:00\",\"04:00\"]],\"mon\":[[\"09:00\",\"10:00\"]]}", "");
    struct span day;
    char text[CALENDAR_TIME_SIZE];
    (void)state;
    assert_true(calendar_day(cal, "2026-03-29", &day));
    assert_int_equal(day.from, at("2026-03-29T00:00:00+01:00"));
    assert_int_equal(day.to - day.from, 23 * 3600);
    assert_string_equal(day_starts(cal, "2026-03-29", 60), "01:00 01:30 03:00 ");
    assert_true(calendar_day(cal, "2026-10-25", &day));
    assert_int_equal(day.to - day.from, 25 * 3600);
    assert_string_equal(day_starts(cal, "2026-10-25", 60), "01:00 01:30 02:00 02:30 02:00 02:30 03:00 ");
    /* Nine on the wall is another instant in summer than in winter. */
    assert_true(calendar_open(cal, span("2026-03-30T07:00:00Z", "2026-03-30T08:00:00Z")));
    assert_true(calendar_open(cal, span("2026-10-26T08:00:00Z", "2026-10-26T09:00:00Z")));
    assert_false(calendar_open(cal, span("2026-10-26T07:00:00Z", "2026-10-26T08:00:00Z")));
    calendar_format(cal, text, at("2026-07-01T12:00:00Z"));
    assert_string_equal(text, "2026-07-01T14:00:00+02:00");
    calendar_free(cal);
}

/* An opening in the hour that does not exist, and one in the hour that comes twice. */
static void test_hours_that_the_change_touches(void **state)
{
    struct calendar *cal = calendar("America/New_York", "{\"sun\":[[\"02:30\",\"05:00\"]]}", "");
    (void)state;
    assert_string_equal(day_starts(cal, "2026-03-08", 60), "03:30 04:00 ");
    cal = (calendar_free(cal), calendar("America/New_York", "{\"sun\":[[\"01:30\",\"02:30\"]]}", ""));
    assert_true(calendar_open(cal, span("2026-11-01T01:30:00-04:00", "2026-11-01T02:30:00-05:00")));
    calendar_free(cal);
}

/* Zones west of Greenwich, of a quarter hour, of the southern summer, and years ahead. */
static void test_zones(void **state)
{
    static const struct {
        const char *zone, *utc, *local;
    } rows[] = {
        {"America/St_Johns", "2026-01-15T12:00:00Z", "2026-01-15T08:30:00-03:30"},
        {"Asia/Kathmandu", "2026-01-15T12:00:00Z", "2026-01-15T17:45:00+05:45"},
        {"Australia/Sydney", "2026-01-15T12:00:00Z", "2026-01-15T23:00:00+11:00"},
        {"Pacific/Kiritimati", "2026-01-15T12:00:00Z", "2026-01-16T02:00:00+14:00"},
        {"Europe/Dublin", "2026-07-15T12:00:00Z", "2026-07-15T13:00:00+01:00"},
        {"America/New_York", "2045-07-15T12:00:00Z", "2045-07-15T08:00:00-04:00"}, /* past the table, by rule */
        {"Asia/Jerusalem", "2026-11-24T08:00:00Z", "2026-11-24T10:00:00+02:00"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct calendar *cal = calendar(rows[i].zone, "", "");
        char text[CALENDAR_TIME_SIZE];
        struct span day;
        calendar_format(cal, text, at(rows[i].utc));
        assert_string_equal(text, rows[i].local);
        assert_int_equal(at(text), at(rows[i].utc));
        text[10] = '\0';
        assert_true(calendar_day(cal, text, &day));
        assert_true(day.from <= at(rows[i].utc) && at(rows[i].utc) < day.to);
        calendar_format(cal, text, day.from);
        assert_string_equal((text[19] = '\0', text + 11), "00:00:00");
        calendar_free(cal);
    }
}

static void test_bounds(void **state)
{
    struct calendar *cal = calendar("UTC", "{\"mon\":[[\"00:00\",\"24:00\"]],\"tue\":[[\"00:00\",\"24:00\"]],"
                                           "\"wed\":[[\"00:00\",\"24:00\"]],\"thu\":[[\"00:00\",\"24:00\"]],"
                                           "\"fri\":[[\"00:00\",\"24:00\"]],\"sat\":[[\"00:00\",\"24:00\"]],"
                                           "\"sun\":[[\"00:00\",\"24:00\"]]}", "");
    int64_t starts[2000];
    (void)state;
    assert_int_equal(calendar_free_starts(cal, span("2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"), 1800, starts, 5), 5);
    assert_int_equal(calendar_free_starts(cal, span("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z"), 1800, starts, 2000), 31 * 48);
    assert_int_equal(calendar_free_starts(cal, span("2026-11-25T00:00:00Z", "2026-11-24T00:00:00Z"), 1800, starts, 5), 0);
    assert_true(calendar_open(cal, span("2026-11-24T22:00:00Z", "2026-11-26T03:00:00Z")));
    assert_false(calendar_open(cal, span("2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z")));
    calendar_free(cal);
}

static void test_not_understood(void **state)
{
    static const char *const zones[] = {"Mars/Olympus", "/etc/localtime", "../zoneinfo/UTC", "Europe/Berlin "};
    static const char *const hours[] = {
        "not json", "[]", "{\"monday\":[]}", "{\"mon\":\"09:00-18:00\"}", "{\"mon\":[[\"09:00\"]]}",
        "{\"mon\":[[\"9 am\",\"18:00\"]]}", "{\"mon\":[[\"09:00\",\"24:30\"]]}", "{\"mon\":[[900,1800]]}",
        "{\"mon\":[[\"-1:00\",\"18:00\"]]}",
        "{\"mon\":[[\"01:00\",\"02:00\"],[\"03:00\",\"04:00\"],[\"05:00\",\"06:00\"],[\"07:00\",\"08:00\"],"
        "[\"09:00\",\"10:00\"],[\"11:00\",\"12:00\"],[\"13:00\",\"14:00\"]]}",
    };
    static const char *const booked[] = {
        "not json", "{}", "[7]", "[{\"start\":\"2026-11-24T09:45:00Z\",\"end\":null}]",
        "[{\"start\":\"2026-11-24T09:45:00\",\"end\":\"2026-11-24T10:30:00\"}]", /* of timestamps without a zone */
        "[{\"from\":\"2026-11-24T09:45:00Z\",\"to\":\"2026-11-24T10:30:00Z\"}]",
    };
    static const char *const dates[] = {"", "2026-02-30", "24.11.2026", "2026-11-24T10:00:00Z", "tomorrow"};
    struct calendar *cal = calendar("UTC", "", "");
    struct span day;
    const char *why;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
        assert_null(calendar_new(zones[i], "", "", &why));
        assert_non_null(strstr(why, "time zone"));
    }
    for (size_t i = 0; i < ARRAY_LEN(hours); i++) {
        if (calendar_new("UTC", hours[i], "", &why))
            fail_msg("taken: %s", hours[i]);
        assert_non_null(strstr(why, "working_hours"));
    }
    for (size_t i = 0; i < ARRAY_LEN(booked); i++) {
        if (calendar_new("UTC", "", booked[i], &why))
            fail_msg("taken: %s", booked[i]);
        assert_non_null(strstr(why, "booked_slots"));
    }
    for (size_t i = 0; i < ARRAY_LEN(dates); i++)
        assert_false(calendar_day(cal, dates[i], &day));
    calendar_free(cal);
    calendar_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_iso_times),
        cmocka_unit_test(test_working_hours),
        cmocka_unit_test(test_any_time),
        cmocka_unit_test(test_hours_that_meet_or_pass_midnight),
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_the_days_clocks_are_turned),
        cmocka_unit_test(test_hours_that_the_change_touches),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_not_understood),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
