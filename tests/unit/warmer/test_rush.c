#include "warmer/rush.h"

#include <sched.h>

#include "tests/unit/unit.h"

static void test_a_batch_job_from_many_to_few(void **state)
{
    struct rush rush = {false};
    (void)state;
    rush_note(&rush, RUSH_BEGINS - 1);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
    rush_note(&rush, RUSH_BEGINS);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    rush_note(&rush, RUSH_ENDS + 1);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
    rush_note(&rush, RUSH_ENDS);
    assert_int_equal(sched_getscheduler(0), SCHED_OTHER);
}

static void test_another_policy_is_left_as_it_is(void **state)
{
    struct rush rush = {false};
    (void)state;
    assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0}), 0);
    rush_note(&rush, RUSH_BEGINS);
    rush_note(&rush, 0);
    assert_int_equal(sched_getscheduler(0), SCHED_BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_batch_job_from_many_to_few),
        cmocka_unit_test(test_another_policy_is_left_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
