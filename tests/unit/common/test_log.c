#include "common/base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/unit/capture.h"
#include "tests/unit/unit.h"

enum { LINE_MAX_BYTES = 4096 };

static char caught[64 * 1024];
static struct capture capture;

#define CAUGHT(statement)                                    \
    do {                                                     \
        capture_begin(&capture, 2);                          \
        statement;                                           \
        capture_end(&capture, caught, sizeof caught);        \
    } while (0)

/* The caught line as an object; fails unless it is exactly one line of valid JSON. */
static json_t *parsed(void)
{
    json_error_t error;
    json_t *object;
    size_t len = strlen(caught);
    assert_in_range(len, 2, LINE_MAX_BYTES);
    assert_ptr_equal(strchr(caught, '\n'), caught + len - 1);
    object = json_loads(caught, JSON_REJECT_DUPLICATES, &error);
    if (!object)
        fail_msg("not JSON (%s): %s", error.text, caught);
    return object;
}

static void assert_text(const json_t *object, const char *key, const char *value)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    assert_string_equal(text, value);
}

static void test_shape(void **state)
{
    json_t *line;
    const char *ts;
    (void)state;
    log_init("worker");
    CAUGHT(log_info("CA1", "barge-in", log_int("heard_ms", -1234), log_real("rate", 0.25), log_str("why", NULL)));
    line = parsed();
    ts = json_string_value(json_object_get(line, "ts"));
    assert_non_null(ts);
    assert_int_equal(strlen(ts), strlen("2026-11-20T13:45:01.123Z"));
    assert_int_equal(ts[10] == 'T' && ts[19] == '.' && ts[23] == 'Z', 1);
    assert_text(line, "level", "info");
    assert_text(line, "program", "worker");
    assert_text(line, "call", "CA1");
    assert_text(line, "msg", "barge-in");
    assert_text(line, "why", "");
    assert_int_equal(json_integer_value(json_object_get(line, "heard_ms")), -1234);
    assert_float_equal(json_real_value(json_object_get(line, "rate")), 0.25, 1e-9);
    json_decref(line);
}

static void test_no_call(void **state)
{
    json_t *line;
    (void)state;
    CAUGHT(log_error(NULL, "no call here"));
    line = parsed();
    assert_null(json_object_get(line, "call"));
    assert_text(line, "level", "error");
    json_decref(line);
    CAUGHT(log_warn("", "none here either"));
    line = parsed();
    assert_null(json_object_get(line, "call"));
    json_decref(line);
}

static void test_levels(void **state)
{
    (void)state;
    assert_int_equal(log_set_level("chatty"), -1);
    assert_int_equal(log_set_level("warn"), 0);
    assert_false(log_on(LOG_LEVEL_INFO));
    assert_true(log_on(LOG_LEVEL_WARN));
    CAUGHT(log_info(NULL, "too quiet"));
    assert_string_equal(caught, "");
    assert_int_equal(log_set_level("debug"), 0);
    CAUGHT(log_debug(NULL, "heard"));
    json_decref(parsed());
    assert_int_equal(log_set_level("info"), 0);
    CAUGHT(log_debug(NULL, "too quiet again"));
    assert_string_equal(caught, "");
}

/* What a stranger's webhook may put into a field comes back as it was, or with U+FFFD where it was
 * not text; in every place that takes text. */
static void test_nasty_text(void **state)
{
    static const struct {
        const char *text, *read;
    } nasty[] = {
        {"say \"hi\" \\ bye", "say \"hi\" \\ bye"},
        {"\",\"level\":\"error", "\",\"level\":\"error"},
        {"line\nbreak\ttab\rreturn", "line\nbreak\ttab\rreturn"},
        {"\x01\x02\x1b[31mred\x1f\x7f", "\x01\x02\x1b[31mred\x1f\x7f"},
        {"\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xe2\x82\xac \xf0\x9f\x98\x80", "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"Ren\xe9 (Latin-1)", "Ren\xef\xbf\xbd (Latin-1)"},
        {"\x80", "\xef\xbf\xbd"},                                    /* continuation alone */
        {"\xff\xfe", "\xef\xbf\xbd\xef\xbf\xbd"},                    /* never in UTF-8 */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                    /* overlong */
        {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},    /* overlong */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},    /* surrogate */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* above U+10FFFF */
        {"\xf0\x9f\x98", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},    /* ends inside */
        {"\xc3(", "\xef\xbf\xbd("},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(nasty); i++) {
        json_t *line;
        CAUGHT(log_info(nasty[i].text, nasty[i].text, log_str("value", nasty[i].text), log_int("after", 1)));
        line = parsed();
        assert_text(line, "call", nasty[i].read);
        assert_text(line, "msg", nasty[i].read);
        assert_text(line, "value", nasty[i].read);
        assert_int_equal(json_integer_value(json_object_get(line, "after")), 1);
        json_decref(line);
    }
}

static void test_numbers_json_cannot_hold(void **state)
{
    json_t *line;
    (void)state;
    CAUGHT(log_info(NULL, "m", log_real("nan", (double)NAN), log_real("inf", -(double)INFINITY),
                    log_int("least", INT64_MIN), log_real("tiny", 1e-300)));
    line = parsed();
    assert_true(json_is_null(json_object_get(line, "nan")));
    assert_true(json_is_null(json_object_get(line, "inf")));
    assert_int_equal(json_integer_value(json_object_get(line, "least")), INT64_MIN);
    json_decref(line);
}

/* 10 KB of each kind of text: one byte a letter, six bytes an escape, whole UTF-8 letters; started
 * at every offset, so that the cut falls everywhere. */
static void test_long_text_is_cut(void **state)
{
    static const char *const letters[] = {"x", "\x01", "\"", "\xf0\x9f\x98\x80", "\xe2\x82\xac", "\xff"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(letters); i++) {
        for (size_t shift = 0; shift < 8; shift++) {
            char text[10240 + 16];
            json_t *line;
            memset(text, 'a', shift);
            text[shift] = '\0';
            while (strlen(text) < 10240)
                strcat(text, letters[i]);
            CAUGHT(log_info("CA1", "long", log_str("value", text), log_int("dropped", 1)));
            line = parsed();
            assert_in_range(strlen(json_string_value(json_object_get(line, "value"))), 500, LINE_MAX_BYTES);
            assert_null(json_object_get(line, "dropped"));
            json_decref(line);
            CAUGHT(log_info(text, text, log_str("value", text)));
            json_decref(parsed());
        }
    }
}

static void test_many_fields(void **state)
{
    struct log_field fields[301];
    (void)state;
    for (size_t i = 0; i < 300; i++)
        fields[i] = log_str("k", "0123456789");
    fields[300] = LOG_FIELDS_END;
    CAUGHT(log_emit(LOG_LEVEL_INFO, NULL, "many", fields));
    assert_in_range(strlen(caught), 3000, LINE_MAX_BYTES);
    assert_string_equal(caught + strlen(caught) - 5, "89\"}\n");
}

static void test_phones_are_masked(void **state)
{
    static const struct {
        const char *number, *logged;
    } rows[] = {
        {"+14155550123", "+141***23"}, {"+972501234567", "+972***67"},
        {"4155550123", "4155***23"},   {"+29012345", "***"}, /* short: what is left would be most of it */
        {"100", "***"},                {"", "***"},
        {"client:alice", "clie***ce"}, {"\xf0\x9f\x98\x80\xf0\x9f\x98\x80\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80***\xef\xbf\xbd\xef\xbf\xbd"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *line;
        CAUGHT(log_info(NULL, "m", log_phone("from", rows[i].number)));
        line = parsed();
        assert_text(line, "from", rows[i].logged);
        json_decref(line);
    }
    CAUGHT(log_info(NULL, "m", log_phone("from", NULL)));
    json_decref(parsed());
}

static void test_names_are_masked(void **state)
{
    static const struct {
        const char *name, *logged;
    } rows[] = {
        {"Dana Levy", "D***"},       {"D", "D***"},
        {"", "***"},                 {"\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d", "\xd7\xa9***"},
        {"\xf0\x9f\x98\x80 Dana", "\xf0\x9f\x98\x80***"}, {"\xe6\x9d\x8e\xe5\xb0\x8f\xe9\xbe\x99", "\xe6\x9d\x8e***"},
        {"\xe9" "Dana", "\xef\xbf\xbd***"}, {"\"", "\"***"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        json_t *line;
        CAUGHT(log_info(NULL, "m", log_name("name", rows[i].name)));
        line = parsed();
        assert_text(line, "name", rows[i].logged);
        json_decref(line);
    }
}

static void test_rate_limit(void **state)
{
    struct log_limit limit = {0};
    (void)state;
    assert_true(log_allow(&limit));
    assert_int_equal(limit.suppressed, 0);
    for (int i = 0; i < 41; i++)
        assert_false(log_allow(&limit));
    limit._next_ms -= 1000; /* a second passes */
    assert_true(log_allow(&limit));
    assert_int_equal(limit.suppressed, 41);
    assert_false(log_allow(&limit));
    limit._next_ms -= 1000;
    assert_true(log_allow(&limit));
    assert_int_equal(limit.suppressed, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_no_call),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_nasty_text),
        cmocka_unit_test(test_numbers_json_cannot_hold),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_many_fields),
        cmocka_unit_test(test_phones_are_masked),
        cmocka_unit_test(test_names_are_masked),
        cmocka_unit_test(test_rate_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
