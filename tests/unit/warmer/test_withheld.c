#include "tests/unit/unit.h"
#include "warmer/withheld.h"

static void test_withheld_numbers(void **state)
{
    static const char *const withheld[] = {"", "anonymous", "Anonymous", "RESTRICTED", "+266696687", "+7378742833",
                                           "+86282452253", "+2562533", "+8656696"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(withheld); i++)
        assert_string_equal(withheld_or(withheld[i]), "anonymous");
}

static void test_numbers(void **state)
{
    static const char *const numbers[] = {"+14155550123", "+2666966871", "+26669668", "266696687", "sip:anna@example.com"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        assert_ptr_equal(withheld_or(numbers[i]), numbers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_withheld_numbers), cmocka_unit_test(test_numbers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
