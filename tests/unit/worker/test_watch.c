#include "tests/unit/unit.h"

#include "worker/call/watch.h"

static const struct watch_limits usual = {.nudge_ms = 5000, .give_up_ms = 3000, .call_ms = 0};

/* The line lives: a frame has just come. */
static enum watch_advice look(struct watch *w, const struct watch_limits *limits, int64_t now)
{
    watch_line(w, now);
    return watch_look(w, limits, now);
}

static void test_silence(void **state)
{
    struct watch w;
    (void)state;
    watch_start(&w, 1000);
    watch_sound(&w, false, 2000);
    watch_sound(&w, false, 6000); /* since when counts, not how often it was said */
    assert_int_equal(look(&w, &usual, 6999), WATCH_NOTHING);
    assert_int_equal(look(&w, &usual, 7000), WATCH_NUDGE);
    assert_int_equal(look(&w, &usual, 7001), WATCH_NOTHING);
    watch_sound(&w, true, 7500); /* the question is spoken */
    watch_sound(&w, false, 9000);
    assert_int_equal(look(&w, &usual, 11999), WATCH_NOTHING);
    assert_int_equal(look(&w, &usual, 12000), WATCH_GIVE_UP);
}

static void test_sound_is_no_silence(void **state)
{
    struct watch w;
    (void)state;
    watch_start(&w, 1000);
    watch_sound(&w, false, 2000);
    watch_sound(&w, true, 6000);
    assert_int_equal(look(&w, &usual, 900000), WATCH_NOTHING);
}

/* Who has answered is asked again in the next silence, and not given up at once. */
static void test_caller_answers(void **state)
{
    struct watch w;
    (void)state;
    watch_start(&w, 1000);
    watch_sound(&w, false, 1000);
    assert_int_equal(look(&w, &usual, 6000), WATCH_NUDGE);
    watch_caller(&w);
    watch_sound(&w, true, 7000);
    watch_sound(&w, false, 8000);
    assert_int_equal(look(&w, &usual, 11500), WATCH_NOTHING);
    assert_int_equal(look(&w, &usual, 13000), WATCH_NUDGE);
}

static void test_switched_off(void **state)
{
    static const struct {
        struct watch_limits limits;
        enum watch_advice first, second;
    } rows[] = {
        {{0, 3000, 0}, WATCH_NOTHING, WATCH_NOTHING},
        {{5000, 0, 0}, WATCH_NUDGE, WATCH_NOTHING},
        {{0, 0, 0}, WATCH_NOTHING, WATCH_NOTHING},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct watch w;
        watch_start(&w, 1);
        watch_sound(&w, false, 1);
        assert_int_equal(look(&w, &rows[i].limits, 10000), rows[i].first);
        assert_int_equal(look(&w, &rows[i].limits, 900000), rows[i].second);
    }
}

static void test_dead_line(void **state)
{
    struct watch w;
    (void)state;
    watch_start(&w, 1000);
    watch_sound(&w, true, 1000);
    assert_int_equal(watch_look(&w, &usual, 1000 + WATCH_DEAD_LINE_MS - 1), WATCH_NOTHING);
    assert_int_equal(watch_look(&w, &usual, 1000 + WATCH_DEAD_LINE_MS), WATCH_DEAD_LINE);
    watch_line(&w, 5000);
    assert_int_equal(watch_look(&w, &usual, 5001), WATCH_NOTHING);
}

/* A process that slept has the frames of that time still to read: then it has time to do so, and no more. */
static void test_sleeper(void **state)
{
    struct watch w;
    int64_t woken = 2000 + 10 * WATCH_DEAD_LINE_MS;
    (void)state;
    watch_start(&w, 1000);
    watch_sound(&w, true, 1000);
    watch_line(&w, 1990);
    assert_int_equal(watch_look(&w, &usual, 2000), WATCH_NOTHING);
    assert_int_equal(watch_look(&w, &usual, woken), WATCH_NOTHING);
    assert_int_equal(watch_look(&w, &usual, woken + WATCH_EVERY_MS), WATCH_NOTHING);
    assert_int_equal(watch_look(&w, &usual, woken + 2 * WATCH_EVERY_MS), WATCH_DEAD_LINE);
}

/* A warning a minute before the end, or a tenth of the limit if that is less; once. */
static void test_limit(void **state)
{
    static const struct {
        int64_t call_ms, warn_ms;
    } rows[] = {{3600000, 3540000}, {600000, 540000}, {20000, 18000}, {1000, 900}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct watch_limits limits = {.call_ms = rows[i].call_ms};
        struct watch w;
        watch_start(&w, 7);
        watch_sound(&w, true, 7);
        assert_int_equal(look(&w, &limits, 7 + rows[i].warn_ms - 1), WATCH_NOTHING);
        assert_int_equal(look(&w, &limits, 7 + rows[i].warn_ms), WATCH_WARN);
        assert_int_equal(look(&w, &limits, 7 + rows[i].call_ms - 1), WATCH_NOTHING);
        assert_int_equal(look(&w, &limits, 7 + rows[i].call_ms), WATCH_LIMIT);
    }
}

static void test_no_limit(void **state)
{
    struct watch_limits limits = {.call_ms = 0};
    struct watch w;
    (void)state;
    watch_start(&w, 7);
    watch_sound(&w, true, 7);
    assert_int_equal(look(&w, &limits, 7 + 86400000), WATCH_NOTHING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_silence),      cmocka_unit_test(test_sound_is_no_silence),
        cmocka_unit_test(test_caller_answers), cmocka_unit_test(test_switched_off),
        cmocka_unit_test(test_dead_line),    cmocka_unit_test(test_limit),
        cmocka_unit_test(test_no_limit),     cmocka_unit_test(test_sleeper),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
