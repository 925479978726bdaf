/* So much at once, so much a second: the two numbers of a rate, and that time forgives. */
#include "worker/ws/bucket.h"

#include "tests/unit/unit.h"

static void test_burst_is_there_at_first(void **state)
{
    struct bucket b = {0};
    (void)state;
    for (int i = 0; i < 30; i++)
        assert_true(bucket_take(&b, 1, 10, 30, 1000));
    assert_false(bucket_take(&b, 1, 10, 30, 1000));
}

static void test_steady_rate_never_ends(void **state)
{
    struct bucket b = {0};
    (void)state;
    for (int64_t now = 1; now < 3600 * 1000; now += 100)
        assert_true(bucket_take(&b, 1, 10, 5, now));
}

static void test_a_little_above_the_rate_ends(void **state)
{
    struct bucket b = {0};
    int64_t now = 1;
    (void)state;
    while (bucket_take(&b, 1, 10, 100, now) && now < 1000 * 1000)
        now += 90; /* 11.1 a second: 100 of burst last some 90 s */
    assert_in_range(now, 80 * 1000, 100 * 1000);
}

/* What was not used is not saved beyond the burst. */
static void test_silence_saves_one_burst(void **state)
{
    struct bucket b = {0};
    (void)state;
    assert_true(bucket_take(&b, 30, 10, 30, 1));
    assert_true(bucket_take(&b, 30, 10, 30, 1000 * 1000));
    assert_false(bucket_take(&b, 1, 10, 30, 1000 * 1000));
    assert_false(bucket_take(&b, 1, 10, 30, 1000 * 1000 + 99));
    assert_true(bucket_take(&b, 1, 10, 30, 1000 * 1000 + 300));
}

static void test_one_that_is_too_large(void **state)
{
    struct bucket b = {0};
    (void)state;
    assert_false(bucket_take(&b, 31, 10, 30, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_is_there_at_first),  cmocka_unit_test(test_steady_rate_never_ends),
        cmocka_unit_test(test_a_little_above_the_rate_ends), cmocka_unit_test(test_silence_saves_one_burst),
        cmocka_unit_test(test_one_that_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
