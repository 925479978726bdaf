#include "tests/unit/unit.h"

#include <string.h>

#include "worker/tools.h"

static void test_described_flat(void **state)
{
    json_t *tools = tools_describe(), *tool;
    size_t i;
    (void)state;
    assert_int_equal(json_array_size(tools), TOOL_NONE);
    json_array_foreach(tools, i, tool) {
        assert_string_equal(json_string_value(json_object_get(tool, "type")), "function");
        assert_true(json_is_string(json_object_get(tool, "name")));
        assert_string_equal(json_string_value(json_object_get(json_object_get(tool, "parameters"), "type")), "object");
        assert_int_equal(json_object_size(tool), 4); /* extra keys are refused by the provider */
    }
    json_decref(tools);
}

static void test_good(void **state)
{
    struct tool_request r;
    (void)state;
    assert_null(tool_parse("set_customer_name", "{\"name\":\"Dana Levy\"}", &r));
    assert_int_equal(r.tool, TOOL_SET_CUSTOMER_NAME);
    assert_string_equal(r.name, "Dana Levy");
    assert_null(tool_parse("book_appointment", "{\"starts_at\":\"2026-11-24T10:00:00+02:00\",\"duration_minutes\":45,"
                                               "\"title\":\"Cleaning\",\"notes\":\"n\"}", &r));
    assert_string_equal(r.starts_at, "2026-11-24T08:00:00Z");
    assert_string_equal(r.ends_at, "2026-11-24T08:45:00Z");
    assert_string_equal(r.title, "Cleaning");
    assert_null(tool_parse("book_appointment", "{\"starts_at\":\"2026-11-24T10:00Z\",\"title\":\"x\"}", &r));
    assert_int_equal(r.ends_s - r.starts_s, 1800);
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

static void test_overlap(void **state)
{
    static const char slots[] = "[{\"start\":\"2026-11-24T10:00:00Z\",\"end\":\"2026-11-24T10:30:00Z\"},{\"bad\":1},7]";
    int64_t ten;
    (void)state;
    assert_true(iso_time_parse("2026-11-24T10:00:00Z", &ten));
    assert_true(slots_overlap(slots, ten, ten + 1800));
    assert_true(slots_overlap(slots, ten - 900, ten + 1));
    assert_true(slots_overlap(slots, ten + 600, ten + 660));
    assert_false(slots_overlap(slots, ten - 1800, ten)); /* ends where the other begins */
    assert_false(slots_overlap(slots, ten + 1800, ten + 3600));
    assert_false(slots_overlap("", ten, ten + 1800));
    assert_false(slots_overlap("not json", ten, ten + 1800));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_described_flat), cmocka_unit_test(test_good), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_text_is_cut_at_a_character), cmocka_unit_test(test_overlap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
