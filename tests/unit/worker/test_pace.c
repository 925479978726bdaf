/* When a loop is woken, when it comes round by itself, and when it takes two frames at a time. Its time is
 * simulated: sockets that get ready at a steady rate, and what it costs to serve them. */
#include "worker/pace.h"

#include "tests/unit/unit.h"

enum { SECOND = 1000000, SOCKETS = 1600 };

static struct pace pace;
static int64_t now_us;
static double due; /* sockets that have something */

static int setup(void **state)
{
    (void)state;
    pace = (struct pace){0};
    now_us = 5 * SECOND;
    due = 0;
    return 0;
}

/* So many sockets a second, each of which takes so long to serve. Returns the longest sleep. */
static int64_t run(int64_t us, int a_second, int64_t cost_us)
{
    int64_t until = now_us + us, longest = 0;
    while (now_us < until) {
        int64_t turn = now_us, began, rest, ready;
        if (pace_waits(&pace) && due < 1) { /* in the kernel */
            now_us += (int64_t)((1 - due) * SECOND / a_second) + 1;
            due = 1;
        }
        began = now_us;
        ready = (int64_t)due;
        now_us += ready * cost_us + 1;
        rest = pace_turn_over(&pace, (unsigned)ready, false, began, now_us);
        assert_in_range(rest, 0, PACE_STEP_US);
        now_us += rest;
        longest = rest > longest ? rest : longest;
        due += (double)(now_us - turn) * a_second / SECOND - (double)ready;
        if (due > SOCKETS)
            due = SOCKETS;
    }
    return longest;
}

/* Nobody waits for anybody in a loop that has little to do. */
static void test_calm(void **state)
{
    (void)state;
    assert_int_equal(run(10 * SECOND, 3000, 20), 0);
    assert_int_equal(pace.level, PACE_CALM);
}

static void test_brisk_and_calm_again(void **state)
{
    (void)state;
    assert_in_range(run(SECOND, 20000, 20), 1, PACE_STEP_US);
    assert_int_equal(pace.level, PACE_BRISK);
    run(SECOND, 6000, 20); /* neither one nor the other: it stays as it is */
    assert_int_equal(pace.level, PACE_BRISK);
    run(SECOND, 1000, 20);
    assert_int_equal(pace.level, PACE_CALM);
}

/* A loop that is late for a step goes on at once, and does not run faster afterwards. */
static void test_steps_that_were_missed(void **state)
{
    int64_t late;
    (void)state;
    run(SECOND, 20000, 20);
    late = now_us + 100 * PACE_STEP_US;
    assert_int_equal(pace_turn_over(&pace, 10, false, now_us, late), 0);
    assert_in_range(pace_turn_over(&pace, 10, false, late, late + 10), PACE_STEP_US - 10, PACE_STEP_US);
}

/* Who is nearly late goes on. */
static void test_no_naps(void **state)
{
    int64_t early;
    (void)state;
    run(SECOND, 20000, 20);
    now_us += pace_turn_over(&pace, 10, false, now_us, now_us); /* a step begins */
    early = now_us + PACE_STEP_US - PACE_NAP_US;
    assert_int_equal(pace_turn_over(&pace, 10, false, now_us, early), PACE_NAP_US);
    now_us = early + PACE_NAP_US;
    early = now_us + PACE_STEP_US - PACE_NAP_US + 1;
    assert_int_equal(pace_turn_over(&pace, 10, false, now_us, early), 0);
    assert_int_equal(pace_turn_over(&pace, 10, false, early, early + 10), PACE_STEP_US - 10);
}

/* All callers send at the same instant: it does not look where nothing can be until the next one. */
static void test_all_at_once(void **state)
{
    (void)state;
    run(SECOND, 20000, 20);
    assert_int_equal(pace_turn_over(&pace, 200, false, now_us, now_us + 4000), 0); /* late */
    now_us += 4000;
    assert_false(pace_waits(&pace));
    assert_int_equal(pace_turn_over(&pace, 0, false, now_us, now_us + 1), 0);
    assert_true(pace_waits(&pace));
    now_us += 16000; /* the next one: the first of many, which come meanwhile */
    assert_int_equal(pace_turn_over(&pace, 1, false, now_us, now_us), PACE_STEP_US);
    assert_false(pace_waits(&pace));
}

/* A call that begins asks Redis twice before it has a greeting: for its answers a loop is there at once, unless
 * it has no time to spare. */
static void test_hurry(void **state)
{
    (void)state;
    run(SECOND, 20000, 20);
    assert_int_equal(pace_turn_over(&pace, 5, true, now_us, now_us + 10), 0);
    assert_true(pace_waits(&pace));
    assert_int_equal(pace_turn_over(&pace, 1, false, now_us + 20, now_us + 30), PACE_STEP_US);
    assert_false(pace_waits(&pace));
    now_us += 30 + PACE_STEP_US;
    run(2 * SECOND, 42000, 24);
    assert_int_equal(pace.level, PACE_PRESSED);
    (void)pace_turn_over(&pace, 5, true, now_us, now_us + 10);
    assert_false(pace_waits(&pace));
}

static void test_pressed_and_spare_again(void **state)
{
    (void)state;
    run(5 * SECOND, 40000, 24); /* 96 %, and every step in time: nobody waits */
    assert_int_equal(pace.level, PACE_BRISK);
    run(2 * SECOND, 42000, 24); /* 101 % */
    assert_int_equal(pace.level, PACE_PRESSED);
    run(20 * SECOND, 28000, 22); /* the same calls, in pairs: 62 % */
    assert_int_equal(pace.level, PACE_PRESSED);
    run(SECOND, 18000, 22);
    assert_int_equal(pace.level, PACE_BRISK);
}

/* In pairs, 44 % of the time: whether it would do frame by frame only a try can tell. It does not. Seconds to the try. */
static int fails_again(void)
{
    int tenths = 0;
    while (pace.level == PACE_PRESSED && tenths < 1000) {
        run(SECOND / 10, 20000, 22);
        tenths++;
    }
    run(2 * SECOND, 42000, 24);
    assert_int_equal(pace.level, PACE_PRESSED);
    return (tenths + 5) / 10;
}

static void test_frame_by_frame_is_tried(void **state)
{
    (void)state;
    run(2 * SECOND, 42000, 24);
    assert_int_equal(pace.level, PACE_PRESSED);
    due = 0;
    assert_int_equal(fails_again(), 1);
    for (int seconds = 1; seconds < 16; seconds *= 2) /* two of which it has been in pairs already */
        assert_in_range(fails_again(), seconds, 2 * seconds);
    assert_in_range(fails_again(), 13, 16);
    assert_in_range(fails_again(), 13, 16);
    run(17 * SECOND, 20000, 22); /* this one does */
    assert_int_equal(pace.level, PACE_BRISK);
    run(4 * SECOND, 40000, 22);
    run(2 * SECOND, 42000, 24);
    assert_int_equal(pace.level, PACE_PRESSED);
    assert_in_range(fails_again(), 0, 1);
    run(SECOND, 16000, 22); /* 35 %: that is no try, and waits for nothing */
    assert_int_equal(pace.level, PACE_BRISK);
}

/* A try that fails is over before callers hear more of it than of pairs. */
static void test_a_try_fails_soon(void **state)
{
    int tenths = 0;
    (void)state;
    run(2 * SECOND, 42000, 24);
    while (pace.level == PACE_PRESSED)
        run(SECOND / 10, 20000, 22);
    due = 0;
    for (; pace.level == PACE_BRISK && tenths < 10; tenths++)
        run(SECOND / 10, 44000, 24); /* 106 % */
    assert_in_range(tenths, 2, 4);
    assert_true(due * 24 < 2.5 * PACE_LATE_US);
}

/* The host, or another program, stops it for a while when it is well filled: it catches up. */
static void test_a_stall_presses_nobody(void **state)
{
    (void)state;
    run(2 * SECOND, 36000, 23); /* 83 % */
    for (int i = 0; i < 20; i++) {
        int64_t began = now_us;
        now_us += 15000;
        due += 15000 * 0.036;
        (void)pace_turn_over(&pace, 10, false, began, now_us);
        run(SECOND / 2, 36000, 23);
        assert_int_equal(pace.level, PACE_BRISK);
    }
}

/* All callers at the same instant: long turns, and time enough between them. */
static void test_long_turns_alone_press_nobody(void **state)
{
    (void)state;
    run(SECOND, 20000, 20);
    for (int64_t until = now_us + 2 * SECOND; now_us < until; now_us += 20000) {
        (void)pace_turn_over(&pace, 600, false, now_us, now_us + 12000);
        (void)pace_turn_over(&pace, 0, false, now_us + 12000, now_us + 12001);
    }
    assert_int_equal(pace.level, PACE_BRISK);
}

/* Far more than it can do: it is known within two seconds. */
static void test_pressed_soon(void **state)
{
    (void)state;
    run(2 * SECOND, 60000, 30);
    assert_int_equal(pace.level, PACE_PRESSED);
}

/* Another program took the core for a moment. */
static void test_a_moment_presses_nobody(void **state)
{
    (void)state;
    run(2 * SECOND, 20000, 20);
    now_us += SECOND / 5;
    (void)pace_turn_over(&pace, 10, false, now_us - SECOND / 5, now_us);
    assert_int_equal(pace.level, PACE_BRISK);
    run(SECOND, 20000, 20);
    assert_int_equal(pace.level, PACE_BRISK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_calm, setup),
        cmocka_unit_test_setup(test_brisk_and_calm_again, setup),
        cmocka_unit_test_setup(test_steps_that_were_missed, setup),
        cmocka_unit_test_setup(test_no_naps, setup),
        cmocka_unit_test_setup(test_all_at_once, setup),
        cmocka_unit_test_setup(test_hurry, setup),
        cmocka_unit_test_setup(test_pressed_and_spare_again, setup),
        cmocka_unit_test_setup(test_frame_by_frame_is_tried, setup),
        cmocka_unit_test_setup(test_a_try_fails_soon, setup),
        cmocka_unit_test_setup(test_a_stall_presses_nobody, setup),
        cmocka_unit_test_setup(test_long_turns_alone_press_nobody, setup),
        cmocka_unit_test_setup(test_pressed_soon, setup),
        cmocka_unit_test_setup(test_a_moment_presses_nobody, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
