#include "common/base/decimal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

static void test_as_printf(void **state)
{
    static const int64_t numbers[] = {0, 1, -1, 9, 10, 1795186260123, -1795186260123, INT64_MAX, INT64_MIN};
    char ours[DECIMAL_SIZE], printed[32];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
        snprintf(printed, sizeof printed, "%" PRId64, numbers[i]);
        assert_ptr_equal(decimal_put(ours, numbers[i]), ours + strlen(printed));
        assert_string_equal(ours, printed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_printf)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
