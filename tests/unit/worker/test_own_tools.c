#include "worker/tools/own_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "tests/unit/capture.h"
#include "tests/unit/unit.h"

#define GOOD "{\"name\":\"find_order\",\"description\":\"Finds an order.\",\"url\":\"https://shop.example.test/orders\"," \
             "\"parameters\":{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"string\"}}}," \
             "\"method\":\"PUT\",\"headers\":{\"Authorization\":\"Bearer s3cret\"},\"timeout_ms\":1500}"

static char said[16384];

/* Describes into a new array; what was logged is in `said`. */
static json_t *describe(const char *tools)
{
    json_t *into = json_pack("[{s:s}]", "name", "end_call");
    struct capture capture;
    capture_begin(&capture, 2);
    own_tools_describe("CA1", tools, into);
    capture_end(&capture, said, sizeof said);
    json_array_remove(into, 0);
    return into;
}

static void test_described(void **state)
{
    json_t *tools = describe("[" GOOD ",{\"name\":\"open_now\",\"url\":\"https://shop.example.test/open\"}]");
    json_t *expected = json_loads("[{\"type\":\"function\",\"name\":\"find_order\",\"description\":\"Finds an order.\",\"parameters\":"
                                  "{\"type\":\"object\",\"properties\":{\"number\":{\"type\":\"string\"}}}},"
                                  "{\"type\":\"function\",\"name\":\"open_now\",\"description\":\"\",\"parameters\":"
                                  "{\"type\":\"object\",\"properties\":{}}}]", 0, NULL);
    (void)state;
    assert_non_null(expected);
    assert_true(json_equal(tools, expected));
    assert_string_equal(said, "");
    json_decref(tools);
    json_decref(expected);
}

static void test_found(void **state)
{
    struct own_tool tool;
    (void)state;
    assert_true(own_tool_find("[7," GOOD "]", "find_order", &tool));
    assert_string_equal(tool.url, "https://shop.example.test/orders");
    assert_string_equal(tool.method, "PUT");
    assert_int_equal(tool.timeout_ms, 1500);
    assert_string_equal(json_string_value(json_object_get(tool.headers, "Authorization")), "Bearer s3cret");
    own_tool_release(&tool);
    assert_true(own_tool_find("[{\"name\":\"a\",\"url\":\"https://x\"}]", "a", &tool));
    assert_string_equal(tool.method, "POST");
    assert_int_equal(tool.timeout_ms, OWN_TOOL_TIMEOUT_MS);
    assert_null(tool.headers);
    own_tool_release(&tool);
    assert_false(own_tool_find("[" GOOD "]", "other", &tool));
    assert_false(own_tool_find("", "find_order", &tool));
    assert_false(own_tool_find("{\"name\":\"find_order\"}", "find_order", &tool));
}

/* Each is left out, alone, with a reason that names no secret. */
static void test_left_out(void **state)
{
    static const struct {
        const char *entry, *why;
    } rows[] = {
        {"{\"name\":\"end_call\",\"url\":\"https://x\"}", "built-in"},
        {"{\"url\":\"https://x\"}", "name is not"},
        {"{\"name\":\"two words\",\"url\":\"https://x\"}", "name is not"},
        {"{\"name\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",\"url\":\"https://x\"}", "name is not"},
        {"{\"name\":\"a\"}", "url is missing"},
        {"{\"name\":\"a\",\"url\":7}", "url is missing"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"parameters\":{\"type\":\"string\"}}", "parameters"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"parameters\":[]}", "parameters"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"method\":\"GET\"}", "method"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"method\":5}", "method"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"description\":null}", "description"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"timeout_ms\":0}", "timeout_ms"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"timeout_ms\":20001}", "timeout_ms"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"timeout_ms\":\"5\"}", "timeout_ms"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"headers\":[]}", "headers"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"headers\":{\"X\":\"s3cret\\r\\nHost: y\"}}", "header"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"headers\":{\"X y\":\"s3cret\"}}", "header"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"headers\":{\"X\":7}}", "header"},
        {"{\"name\":\"a\",\"url\":\"https://x\",\"headers\":{\"idempotency-key\":\"s3cret\"}}", "set by the worker"},
        {"{\"name\":\"find_order\",\"url\":\"https://x\"}", "another tool"},
        {"\"find_order\"", "name is not"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char text[2048];
        json_t *tools;
        snprintf(text, sizeof text, "[" GOOD ",%s]", rows[i].entry);
        tools = describe(text);
        if (json_array_size(tools) != 1 || !strstr(said, rows[i].why) || strstr(said, "s3cret"))
            fail_msg("row %zu: %s", i, said);
        json_decref(tools);
    }
    json_decref(describe("not JSON"));
    assert_non_null(strstr(said, "not a JSON array"));
    json_decref(describe(""));
    assert_string_equal(said, "");
}

static void test_number_is_bounded(void **state)
{
    json_t *many = json_array(), *tools;
    struct own_tool tool;
    char *text;
    (void)state;
    for (int i = 0; i < OWN_TOOLS_MAX + 1; i++)
        json_array_append_new(many, json_pack("{s:o, s:s}", "name", json_sprintf("t%d", i), "url", "https://x"));
    text = json_dumps(many, 0);
    tools = describe(text);
    assert_int_equal(json_array_size(tools), OWN_TOOLS_MAX);
    assert_non_null(strstr(said, "more than 32"));
    assert_true(own_tool_find(text, "t31", &tool));
    own_tool_release(&tool);
    assert_false(own_tool_find(text, "t32", &tool));
    free(text);
    json_decref(tools);
    json_decref(many);
}

static void test_body(void **state)
{
    static const char *const bad[] = {"{\"number\":\"4", "[]", "5", "null"};
    static char long_one[OWN_TOOL_ARGUMENTS_MAX + 16];
    struct own_tool tool;
    char *body;
    (void)state;
    assert_true(own_tool_find("[" GOOD "]", "find_order", &tool));
    body = own_tool_body(&tool, "CA1", "{\"number\": \"42\"}");
    assert_string_equal(body, "{\"call_sid\":\"CA1\",\"tool\":\"find_order\",\"arguments\":{\"number\":\"42\"}}");
    free(body);
    body = own_tool_body(&tool, "CA1", "");
    assert_string_equal(body, "{\"call_sid\":\"CA1\",\"tool\":\"find_order\",\"arguments\":{}}");
    free(body);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_null(own_tool_body(&tool, "CA1", bad[i]));
    memset(long_one, ' ', sizeof long_one - 1);
    memcpy(long_one, "{}", 2);
    assert_null(own_tool_body(&tool, "CA1", long_one));
    own_tool_release(&tool);
}

static void assert_output(const char *body, bool cut, const char *expected)
{
    json_t *output = own_tool_output(body, strlen(body), cut);
    char *text = json_dumps(output, JSON_COMPACT);
    assert_string_equal(text, expected);
    free(text);
    json_decref(output);
}

static void test_output(void **state)
{
    (void)state;
    assert_output("{\"state\": \"sent\"}", false, "{\"ok\":true,\"result\":{\"state\":\"sent\"}}");
    assert_output("42", false, "{\"ok\":true,\"result\":42}");
    assert_output("It was sent.", false, "{\"ok\":true,\"result\":\"It was sent.\"}");
    assert_output("", false, "{\"ok\":true,\"result\":\"\"}");
    assert_output("[1, 2, ", true, "{\"ok\":true,\"result\":\"[1, 2, \",\"cut\":true}");
    assert_output("[1]", true, "{\"ok\":true,\"result\":\"[1]\",\"cut\":true}"); /* it may have gone on */
    assert_output("gr\xc3\xbc\xc3", true, "{\"ok\":true,\"result\":\"gr\xc3\xbc\",\"cut\":true}");
    assert_output("a\xe2\x82", true, "{\"ok\":true,\"result\":\"a\",\"cut\":true}");
    assert_null(own_tool_output("\xff\xfe", 2, false));
    assert_null(own_tool_output("a\0b", 3, false));
    assert_output("[\"\\ud83d\"]", false, "{\"ok\":true,\"result\":[\"\xef\xbf\xbd\"]}"); /* half a character */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_described), cmocka_unit_test(test_found),       cmocka_unit_test(test_left_out),
        cmocka_unit_test(test_body),      cmocka_unit_test(test_number_is_bounded), cmocka_unit_test(test_output),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
