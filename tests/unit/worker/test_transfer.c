#include "tests/unit/unit.h"

#include <string.h>

#include "worker/call/transfer.h"

#define LIST "{\"Sales\":\"+49 30 1234-56\",\"support\":\"+4930999\",\"broken\":\"call me\",\"worse\":5}"

static void test_places(void **state)
{
    static const char *const nowhere[][2] = {{"", ""}, {"", "{}"}, {"ask reception", "[]"}, {"", "{\"a\":\"b\"}"}, {"+", "x"}};
    json_t *places = transfer_places("", LIST);
    (void)state;
    assert_int_equal(json_array_size(places), 2);
    assert_string_equal(json_string_value(json_array_get(places, 0)), "Sales");
    json_decref(places);
    places = transfer_places("+4930111", "");
    assert_non_null(places);
    assert_int_equal(json_array_size(places), 0);
    json_decref(places);
    for (size_t i = 0; i < ARRAY_LEN(nowhere); i++)
        assert_null(transfer_places(nowhere[i][0], nowhere[i][1]));
}

static void test_pick(void **state)
{
    static const struct {
        const char *number, *list, *to, *picked; /* NULL: refused */
    } rows[] = {
        {"+4930111", "", "", "+4930111"},
        {"(030) 111.22/3", "", "", "030111223"},
        {"+4930111", "", "whoever", "+4930111"},
        {"", LIST, "sales", "+4930123456"},
        {"", LIST, "+49 30 999", "+4930999"},
        {"+4930111", LIST, "", "+4930111"},
        {"+4930111", LIST, "+49-30-111", "+4930111"},
        {"", "{\"only\":\"+4930555\"}", "", "+4930555"},
        {"+4930111", LIST, "+15550100", NULL}, /* a number of the caller's choice */
        {"+4930111", LIST, "marketing", NULL},
        {"+4930111", LIST, "broken", NULL},
        {"+4930111", LIST, "worse", NULL},
        {"", LIST, "", NULL}, /* which of the two? */
        {"", "", "", NULL},
        {"+1234567890123456", "", "", NULL}, /* longer than any number */
        {"49+30", "", "", NULL},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char out[TRANSFER_NUMBER_SIZE] = "";
        bool good = transfer_pick(rows[i].number, rows[i].list, rows[i].to, out);
        if (good != (rows[i].picked != NULL) || (good && strcmp(out, rows[i].picked) != 0))
            fail_msg("row %zu: %d %s", i, good, out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_places), cmocka_unit_test(test_pick)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
