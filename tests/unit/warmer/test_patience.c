#include "warmer/patience.h"

#include "common/base/base.h"
#include "tests/unit/unit.h"

static void test_longer_each_time_for_so_long_in_all(void **state)
{
    static const int pauses[] = {0, 0, 1, 2, 4, 8, 8, 8, 8, 8, 8, -1, -1};
    (void)state;
    for (int vain = 0; vain < (int)ARRAY_LEN(pauses); vain++)
        assert_int_equal(patience_seconds(vain, 60), pauses[vain]);
    assert_int_equal(patience_seconds(9999, 60), -1);
}

static void test_no_patience_is_one_more_try(void **state)
{
    (void)state;
    assert_int_equal(patience_seconds(1, 0), 0);
    assert_int_equal(patience_seconds(2, 0), -1);
    assert_int_equal(patience_seconds(2, 1), 1);
    assert_int_equal(patience_seconds(3, 2), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_longer_each_time_for_so_long_in_all),
        cmocka_unit_test(test_no_patience_is_one_more_try),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
