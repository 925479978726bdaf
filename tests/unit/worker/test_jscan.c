#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "worker/jscan.h"

static bool accepts(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);
    struct jscan s;
    struct jscan_value key, value;
    bool ok;
    memcpy(copy, text, len);
    s = jscan_open(copy, len);
    while (jscan_member(&s, &key, &value))
        ;
    ok = jscan_ok(&s);
    assert_false(jscan_member(&s, &key, &value)); /* stays at its end */
    free(copy);
    return ok;
}

static void test_good(void **state)
{
    static const char *const rows[] = {
        "{}", " { } \n", "{\"a\":1}", "{\"a\" : -0.5e+10 , \"b\":[]}", "{\"a\":{\"b\":{\"c\":[1,[2,{\"d\":null}],true]}}}",
        "{\"\":\"\"}", "{\"a\":\"\\u00e9\\n\\\\\\\"\\/\"}", "{\"a\":[{},[],{}],\"b\":false}",
        "{\"a\":\"long enough to pass eight bytes at a time\"}", "{\"a\":[[],[[]]],\"b\":[{}]}", "{\"a\":0,\"b\":10,\"c\":1.5E2}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i]), last = len;
        if (!accepts(rows[i], len))
            fail_msg("refused: %s", rows[i]);
        while (rows[i][last - 1] != '}')
            last--;
        for (size_t cut = 0; cut < last; cut++) { /* no beginning of it is whole */
            if (accepts(rows[i], cut))
                fail_msg("accepted when cut at %zu: %s", cut, rows[i]);
        }
    }
}

static void test_bad(void **state)
{
    static const char *const rows[] = {
        "", "[]", "1", "\"a\"", "{", "}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{,}", "{\"a\":1 \"b\":2}", "{a:1}", "{'a':1}",
        "{\"a\":01}", "{\"a\":1.}", "{\"a\":.5}", "{\"a\":+1}", "{\"a\":1e}", "{\"a\":--1}", "{\"a\":tru}", "{\"a\":nul}",
        "{\"a\":\"\\x\"}", "{\"a\":\"\\u12g4\"}", "{\"a\":\"\\u12\"}", "{\"a\":\"tab\there\"}", "{\"a\":\"open", "{\"a\":[1,]}",
        "{\"a\":[,1]}", "{\"a\":[1 2]}", "{\"a\":{\"b\":1]}", "{\"a\":[1}}", "{\"a\":{\"b\"}}", "{\"a\":{1:2}}", "{} {}", "{}x",
        "{\"a\":[}", "{\"a\":{]}", "{\"a\":{,}}", "{\"a\":[1],,\"b\":2}", "{\"a\":\"12345678\n\"}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (accepts(rows[i], strlen(rows[i])))
            fail_msg("accepted: %s", rows[i]);
    }
}

static void test_depth(void **state)
{
    char text[300];
    (void)state;
    for (int depth = 1; depth < 100; depth++) {
        int n = 0;
        memcpy(text, "{\"a\":", 5);
        n = 5;
        for (int i = 0; i < depth; i++)
            text[n++] = '[';
        for (int i = 0; i < depth; i++)
            text[n++] = ']';
        text[n++] = '}';
        assert_int_equal(accepts(text, (size_t)n), depth <= JSCAN_DEPTH_MAX);
    }
}

static struct jscan_value first(const char *text)
{
    struct jscan s = jscan_open(text, strlen(text));
    struct jscan_value key, value;
    assert_true(jscan_member(&s, &key, &value));
    return value;
}

static void test_values(void **state)
{
    char out[16], base64[] = "{\"a\":\"AB\\/+\"}", broken[] = "{\"a\":\"AB\\\"x\"}";
    uint64_t n;
    struct jscan_value v = first("{\"a\":\"x\\u00e9\\ud83d\\ude00\"}");
    (void)state;
    assert_true(jscan_copy(&v, out, sizeof out));
    assert_string_equal(out, "x\xC3\xA9\xF0\x9F\x98\x80");
    assert_false(jscan_copy(&v, out, 7)); /* one byte short */
    v = first("{\"a\":\"\\u0000\"}");
    assert_false(jscan_copy(&v, out, sizeof out));
    v = first("{\"a\":\"\\ud83d\"}");
    assert_false(jscan_copy(&v, out, sizeof out));
    v = first("{\"a\":\"\\ude00\"}");
    assert_false(jscan_copy(&v, out, sizeof out));
    v = first("{\"a\":12}");
    assert_true(jscan_uint(&v, &n) && n == 12);
    v = first("{\"a\":\"12\"}");
    assert_true(jscan_uint(&v, &n) && n == 12);
    v = first("{\"a\":\"1x\"}");
    assert_false(jscan_uint(&v, &n));
    v = first("{\"a\":-1}");
    assert_false(jscan_uint(&v, &n));
    v = first("{\"a\":1234567890123456789012}");
    assert_false(jscan_uint(&v, &n));
    v = first("{\"a\":{\"b\":[1]}, \"c\":2}");
    assert_true(v.kind == JSCAN_OBJECT && v.len == 9);
    v = first(base64);
    assert_true(jscan_base64(&v));
    assert_memory_equal(v.at, "AB/+", v.len);
    v = first(broken);
    assert_false(jscan_base64(&v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_depth), cmocka_unit_test(test_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
