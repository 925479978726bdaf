#include "common/base/utf8.h"

#include "tests/unit/unit.h"

static void test_characters(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
        uint32_t character;
    } rows[] = {
        {"a", 1, 'a'},
        {"\x7f", 1, 0x7F},
        {"é", 2, 0xE9},
        {"\xdf\xbf", 2, 0x7FF},
        {"א", 2, 0x5D0},
        {"王", 3, 0x738B},
        {"\xef\xbf\xbf", 3, 0xFFFF},
        {"\xf0\x90\x80\x80", 4, 0x10000},
        {"\xf4\x8f\xbf\xbf", 4, 0x10FFFF},
        {"", 1, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t character = 1;
        assert_int_equal(utf8_length(rows[i].bytes), rows[i].len);
        assert_int_equal(utf8_read(rows[i].bytes, &character), rows[i].len);
        assert_int_equal(character, rows[i].character);
        assert_true(utf8_valid(rows[i].bytes));
    }
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "\x80", "\xbf", "\xff", "\xfe", "\xc0\xaf", "\xc1\xbf", /* no first byte, or overlong */
        "\xe0\x9f\xbf", "\xf0\x8f\xbf\xbf",                     /* overlong */
        "\xed\xa0\x80", "\xed\xbf\xbf",                         /* surrogates */
        "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",                 /* past the end */
        "\xc3", "\xe7\x8e", "\xf0\x9f\x98", "\xc3(", "\xe7\x8e(", /* cut short */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_int_equal(utf8_length(bad[i]), 0);
        assert_false(utf8_valid(bad[i]));
    }
    assert_false(utf8_valid("good \xc3\xa9, bad \xff"));
}

static void test_mended(void **state)
{
    char text[] = "a\xff\xe7\x8e(\xed\xa0\x80\xc3\xa9\xc3";
    (void)state;
    utf8_mend(text);
    assert_string_equal(text, "a??" "?(??" "?\xc3\xa9?");
}

static void test_copies_are_cut_between_characters(void **state)
{
    char out[6];
    (void)state;
    utf8_copy(out, sizeof out, "ééé");
    assert_string_equal(out, "éé");
    utf8_copy(out, sizeof out, "a\xff" "é");
    assert_string_equal(out, "a?é");
    utf8_copy(out, 1, "a");
    assert_string_equal(out, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_characters),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_mended),
        cmocka_unit_test(test_copies_are_cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
