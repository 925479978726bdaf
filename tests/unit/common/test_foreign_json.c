#include "common/base/foreign_json.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/process.h"
#include "tests/unit/unit.h"

#define NO_CHARACTER "\xef\xbf\xbd"

static uint64_t counted(void)
{
    return metric_get(&process_metrics.texts_mended);
}

/* Of exactly its size, so that a byte read behind it is seen. */
static json_t *read_exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    json_t *json;
    assert_non_null(copy);
    memcpy(copy, text, len);
    json = foreign_json(copy, len, 0);
    free(copy);
    return json;
}

static void test_texts(void **state)
{
    static const struct {
        const char *json, *text;
        bool mended;
    } rows[] = {
        {"[\"as it is\"]", "as it is", false},
        {"[\"\\u00e9\\n\\\"\\\\\\/\"]", "\xc3\xa9\n\"\\/", false},
        {"[\"\\ud83d\\ude00\"]", "\xf0\x9f\x98\x80", false},
        {"[\"\\uD83D\\uDE00!\"]", "\xf0\x9f\x98\x80!", false},
        {"[\"\\\\ud83d\"]", "\\ud83d", false}, /* a backslash, then letters */
        {"[\"\\\\\\\\u0000\"]", "\\\\u0000", false},
        {"[\"\\ud83d\"]", NO_CHARACTER, true},
        {"[\"a\\uD83Db\"]", "a" NO_CHARACTER "b", true},
        {"[\"\\ude00\"]", NO_CHARACTER, true},
        {"[\"\\ude00\\ud83d\"]", NO_CHARACTER NO_CHARACTER, true},
        {"[\"\\ud83d\\ud83d\\ude00\\ude00\"]", NO_CHARACTER "\xf0\x9f\x98\x80" NO_CHARACTER, true},
        {"[\"\\ud83d\\n\\ude00\"]", NO_CHARACTER "\n" NO_CHARACTER, true},
        {"[\"\\ud83d\\u00e9\"]", NO_CHARACTER "\xc3\xa9", true},
        {"[\"\\\\\\ud83d\"]", "\\" NO_CHARACTER, true},
        {"[\"before\\u0000after\"]", "before" NO_CHARACTER "after", true},
        {"[\"\\u0000\\uDFFF\\uD800\"]", NO_CHARACTER NO_CHARACTER NO_CHARACTER, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t before = counted();
        json_t *json = read_exact(rows[i].json, strlen(rows[i].json));
        if (!json)
            fail_msg("refused: %s", rows[i].json);
        assert_string_equal(json_string_value(json_array_get(json, 0)), rows[i].text);
        assert_int_equal(counted() - before, rows[i].mended);
        json_decref(json);
    }
}

static void test_keys_too(void **state)
{
    json_t *json = foreign_json_text("{\"a\\u0000\":{\"b\":\"\\udc00\"}}");
    (void)state;
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "a" NO_CHARACTER), "b")), NO_CHARACTER);
    json_decref(json);
}

/* What is no JSON is none with such an escape in it either, and is not counted. */
static void test_refused(void **state)
{
    static const char *const bad[] = {"",           "[",          "[\"\\ud83d\"",  "[\"\\ud83d]", "[\"\\ud83\"]", "[\"\\u\"]", "[\"\\",
                                      "[\"\\ud83d\\", "[\"\\u000g\"]", "[\"\\x0000\"]", "\\u0000",     "[\"\\ud83d\xff\"]"};
    uint64_t before = counted();
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_null(read_exact(bad[i], strlen(bad[i])));
    assert_null(read_exact("[\"\0\"]", 5)); /* a NUL as it is */
    assert_null(foreign_json_text(NULL));
    assert_int_equal(counted(), before);
}

static void test_flags(void **state)
{
    json_t *json = foreign_json("\"\\ud83d\"", 8, JSON_DECODE_ANY);
    (void)state;
    assert_string_equal(json_string_value(json), NO_CHARACTER);
    json_decref(json);
    assert_null(foreign_json("{\"\\u0000\":1,\"\\u0000\":2}", 23, JSON_REJECT_DUPLICATES));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_keys_too),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
