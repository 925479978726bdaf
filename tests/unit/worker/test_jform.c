#include "tests/unit/unit.h"

#include <stdlib.h>

#include "worker/jform.h"

enum { FIRST, NUMBER, LAST, VALUES };

static const struct jform_text form[VALUES + 1] = {JFORM_TEXT("{\"a\":\""), JFORM_TEXT("\",\"n\":"), JFORM_TEXT(",\"z\":\""),
                                                   JFORM_TEXT("\"}")};
static struct jscan_value values[VALUES];

/* At the end of a buffer of its own: the sanitizer sees who reads past it. */
static bool takes(const char *text)
{
    size_t len = strlen(text);
    char *copy = malloc(len ? len : 1);
    bool taken;
    memcpy(copy, text, len);
    taken = jform_take(form, ARRAY_LEN(form), copy, len, values);
    free(copy);
    return taken;
}

static void test_values(void **state)
{
    static const char text[] = "{\"a\":\"some text that is longer than sixteen bytes: \xE2\x82\xAC\",\"n\":120,\"z\":\"\"}";
    (void)state;
    assert_true(jform_take(form, ARRAY_LEN(form), text, sizeof text - 1, values));
    assert_true(values[FIRST].kind == JSCAN_STRING && !values[FIRST].escaped);
    assert_int_equal(values[FIRST].len, strlen("some text that is longer than sixteen bytes: \xE2\x82\xAC"));
    assert_ptr_equal(values[FIRST].at, text + 6);
    assert_true(values[NUMBER].kind == JSCAN_NUMBER && values[NUMBER].len == 3);
    assert_memory_equal(values[NUMBER].at, "120", 3);
    assert_true(values[LAST].kind == JSCAN_STRING && values[LAST].len == 0);
}

static void test_other_forms(void **state)
{
    static const char *const rows[] = {
        "", "{", "{\"a\":\"", "{\"a\":\"x", "{\"a\":\"x\"}", "{\"a\":\"x\",\"n\":1,\"z\":\"y\"", "{\"a\":\"x\",\"n\":1,\"z\":\"y",
        "{\"a\":\"x\",\"n\":1,\"z\":\"y\"} ", "{\"a\":\"x\",\"n\":1,\"z\":\"y\"}}", "{\"a\":\"x\",\"n\":,\"z\":\"y\"}",
        "{\"a\":\"x\",\"n\":01,\"z\":\"y\"}", "{\"a\":\"x\",\"n\":-1,\"z\":\"y\"}", "{\"a\":\"x\",\"n\":1.0,\"z\":\"y\"}",
        "{\"a\":\"x\",\"n\":1e3,\"z\":\"y\"}", "{\"a\":\"x\",\"n\":\"1\",\"z\":\"y\"}", "{\"a\":\"x\\u0041\",\"n\":1,\"z\":\"y\"}",
        "{\"a\":\"x\\\"\",\"n\":1,\"z\":\"y\"}", "{\"a\":\"x\n\",\"n\":1,\"z\":\"y\"}", "{\"a\": \"x\",\"n\":1,\"z\":\"y\"}",
        "{\"a\":\"x\",\"z\":\"y\",\"n\":1}", "{\"a\":\"x\",\"n\":1,\"z\":\"sixteen bytes and a backslash \\\\\"}",
    };
    (void)state;
    assert_true(takes("{\"a\":\"x\",\"n\":0,\"z\":\"y\"}"));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (takes(rows[i]))
            fail_msg("taken: %s", rows[i]);
    }
}

/* Wherever the first special byte is, among those that are looked at together and those at the end. */
static void test_special(void **state)
{
    static const char special[] = "\"\\\n\x01\x1F";
    char text[48];
    (void)state;
    for (size_t len = 0; len <= sizeof text; len++) {
        memset(text, 0xE2, sizeof text);
        assert_ptr_equal(jscan_special(text, text + len), text + len);
        for (size_t at = 0; at < len; at++) {
            text[at] = special[at % (sizeof special - 1)];
            assert_ptr_equal(jscan_special(text, text + len), text + at);
            text[len - 1] = '"'; /* a later one does not count */
            assert_ptr_equal(jscan_special(text, text + len), text + at);
            memset(text, ' ', sizeof text);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_other_forms), cmocka_unit_test(test_special),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
