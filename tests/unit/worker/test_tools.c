#include "tests/unit/unit.h"

#include <string.h>

#include "worker/tools/tools.h"

static void test_described_flat(void **state)
{
    json_t *nowhere = json_array(), *tools = tools_describe(nowhere), *tool;
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(tools), TOOL_NONE);
    json_array_foreach(tools, i, tool) {
        assert_string_equal(json_string_value(json_object_get(tool, "type")), "function");
        assert_true(json_is_string(json_object_get(tool, "name")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(tool, "parameters"), "type")), "object");
        assert_int_equal(json_object_size(tool), 4); /* extra keys are refused by the provider */
        assert_int_equal(tool_named(json_string_value(json_object_get(tool, "name"))), i);
    }
    json_decref(tools);
    json_decref(nowhere);
}

/* The schema of transfer_call's `to`, or NULL if there is none. */
static const json_t *transfer_choice(const json_t *tools)
{
    const json_t *tool = json_array_get(tools, TOOL_TRANSFER_CALL);
    assert_string_equal(json_string_value(json_object_get(tool, "name")), "transfer_call");
    return json_object_get(json_object_get(json_object_get(tool, "parameters"), "properties"), "to");
}

static void test_transfers_are_offered_where_they_can_go(void **state)
{
    json_t *places = json_pack("[s, s]", "sales", "support"), *tools = tools_describe(places);
    (void)state;
    assert_true(json_equal(json_object_get(transfer_choice(tools), "enum"), places));
    json_decref(tools);
    json_array_clear(places);
    tools = tools_describe(places);
    assert_null(transfer_choice(tools));
    json_decref(tools);
    json_decref(places);
    tools = tools_describe(NULL);
    assert_int_equal(json_array_size(tools), TOOL_NONE - 1);
    json_decref(tools);
}

static void test_good(void **state)
{
    struct tool_request r;
    (void)state;
    assert_null(tool_parse("set_customer_name", "{\"name\":\"Dana Levy\"}", &r));
    assert_int_equal(r.tool, TOOL_SET_CUSTOMER_NAME);
    assert_string_equal(r.name, "Dana Levy");
    assert_null(tool_parse("update_customer", "{\"email\":\"dana@example.test\",\"notes\":\"Has a dog.\"}", &r));
    assert_string_equal(r.email, "dana@example.test");
    assert_string_equal(r.notes, "Has a dog.");
    assert_null(tool_parse("book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00+02:00\",\"duration_minutes\":45,"
                                               "\"title\":\"Cleaning\",\"notes\":\"n\"}", &r));
    assert_int_equal(r.time.from, 1795507200); /* date -d 2026-11-24T08:00:00Z +%s */
    assert_int_equal(r.time.to - r.time.from, 45 * 60);
    assert_string_equal(r.title, "Cleaning");
    assert_null(tool_parse("book_appointment", "{\"starts_at\":\"2026-11-24T10:00Z\",\"title\":\"x\"}", &r));
    assert_int_equal(r.time.to - r.time.from, 1800);
    assert_null(tool_parse("check_availability", "{\"date\":\"2026-11-24\"}", &r));
    assert_string_equal(r.date, "2026-11-24");
    assert_int_equal(r.length_s, 1800);
    assert_null(tool_parse("check_availability", "{\"from\":\"2026-11-24T10:00:00+02:00\",\"to\":"
                                                 "\"2026-11-24T12:00:00+02:00\",\"duration_minutes\":60}", &r));
    assert_int_equal(r.time.to - r.time.from, 7200);
    assert_int_equal(r.length_s, 3600);
    assert_null(tool_parse("take_message", "{\"message\":\"Call back.\",\"callback_number\":\"+14155550100\"}", &r));
    assert_string_equal(r.message, "Call back.");
    assert_string_equal(r.callback, "+14155550100");
    assert_null(tool_parse("transfer_call", "{\"to\":\"sales\",\"reason\":\"wants an offer\"}", &r));
    assert_string_equal(r.to, "sales");
    assert_null(tool_parse("end_call", "", &r));
    assert_null(tool_parse("end_call", "{\"reason\":\"done\"}", &r));
    assert_string_equal(r.reason, "done");
}

/* What a model sends when its answer was cut off, or when it makes things up. */
static void test_refused(void **state)
{
    static const struct {
        const char *name, *arguments;
    } rows[] = {
        {"set_customer_name", "{\"name\":\"Da"}, {"set_customer_name", "{}"}, {"set_customer_name", "{\"name\":\"  \"}"},
        {"set_customer_name", "[]"}, {"set_customer_name", "{\"name\":5}"}, {"no_such_tool", "{}"}, {"", "{}"},
        {"book_appointment", "{\"title\":\"x\"}"}, {"book_appointment", "{\"starts_at\":\"tomorrow\"}"},
        {"book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00\"}"}, /* which time zone? */
        {"book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00+99:00\"}"},
        {"book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00Z\",\"duration_minutes\":0}"},
        {"book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00Z\",\"duration_minutes\":100000}"},
        {"book_appointment", "{\"starts_at\":\"2026-13-24T10:00:00Z\"}"},
        {"update_customer", "{}"}, {"update_customer", "{\"email\":\"dana at example\"}"},
        {"update_customer", "{\"email\":\"@example.test\"}"}, {"update_customer", "{\"email\":\"dana@\"}"},
        {"update_customer", "{\"email\":\"a@b@c\"}"}, {"update_customer", "{\"email\":\"x y@example.test\"}"},
        {"check_availability", "{}"}, {"check_availability", "{\"from\":\"2026-11-24T10:00:00Z\"}"},
        {"check_availability", "{\"from\":\"2026-11-24T10:00:00Z\",\"to\":\"2026-11-24T10:00:00Z\"}"},
        {"check_availability", "{\"date\":\"2026-11-24\",\"duration_minutes\":-5}"},
        {"take_message", "{\"message\":\" \"}"}, {"take_message", "{\"callback_number\":\"+14155550100\"}"},
    };
    struct tool_request r;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (!tool_parse(rows[i].name, rows[i].arguments, &r))
            fail_msg("taken: %s %s", rows[i].name, rows[i].arguments);
    }
}

static void test_long_text_is_cut_at_a_character(void **state)
{
    char arguments[2000] = "{\"name\":\"a";
    struct tool_request r;
    (void)state;
    for (int i = 0; i < 300; i++)
        strcat(arguments, "\xD7\xA9");
    strcat(arguments, "\"}");
    assert_null(tool_parse("set_customer_name", arguments, &r));
    assert_int_equal(strlen(r.name) % 2, 1); /* the a and whole characters of two bytes */
    assert_in_range(strlen(r.name), TOOL_TEXT_SIZE - 3, TOOL_TEXT_SIZE - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_described_flat),
        cmocka_unit_test(test_transfers_are_offered_where_they_can_go),
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_text_is_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
