#include "flusher/inspect/mask.h"

#include <stdlib.h>

#include "tests/unit/unit.h"

static const struct {
    const char *text, *masked;
} rows[] = {
    {"", ""},
    {"Hello, how are you?", "Hello, how are you?"},
    {"Dana Levy", "D***"},
    {"Hello Dana, or dana, or LEVY!", "Hello D***, or d***, or L***!"},
    {"Danas and Bandana", "Danas and Bandana"},
    {"Zo\xc3\xab", "Z***"},
    {"\xc3\x89lo\xc3\xafse, hi", "\xc3\x89***, hi"},
    {"+14155550123", "+141***23"},
    {"call +1 (415) 555-0123, please", "call +1 (***23, please"},
    {"415-555-0123.", "415-***23."},
    {"5550123", "***"},
    {"dana@example.test wrote", "d*** wrote"},
    {"2026-11-26 10:00", "2026-11-26 10:00"},
    {"on 2026-11-26T10:00:00Z", "on 2026-11-26T10:00:00Z"},
    {"started_ms=1795184887583", "started_ms=1795184887583"},
    {"CA5550123999 conv_5550123999 1-12", "CA5550123999 conv_5550123999 1-12"},
    {"for 1200 euros in 2026", "for 1200 euros in 2026"},
    {"\xff\xfe 5550123", "\xff\xfe ***"},
};

static void learn(struct mask *m)
{
    mask_learn(m, "Dana Levy");
    mask_learn_field(m, "lead_first_name", "Zo\xc3\xab");
    mask_learn_field(m, "full_name", "\xc3\x89lo\xc3\xafse");
    mask_learn_field(m, "email", "Hello");
    mask_learn(m, "");
    mask_learn(m, "a");
}

static void test_texts(void **state)
{
    struct mask m = {0};
    (void)state;
    learn(&m);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *masked = mask_text(&m, rows[i].text);
        assert_string_equal(masked, rows[i].masked);
        free(masked);
    }
    mask_release(&m);
}

static void test_off(void **state)
{
    struct mask m = {.off = true};
    (void)state;
    learn(&m);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char *text = mask_text(&m, rows[i].text);
        assert_string_equal(text, rows[i].text);
        free(text);
    }
    mask_release(&m);
}

/* More names than it can know: those that were learned are still masked. */
static void test_many_names(void **state)
{
    struct mask m = {0};
    char *masked;
    (void)state;
    mask_learn(&m, "Dana Levy");
    for (int i = 0; i < 3 * MASK_NAMES_MAX; i++)
        mask_learn(&m, (char[]){'N', (char)('a' + i % 26), (char)('a' + i / 26), '\0'});
    masked = mask_text(&m, "Dana Levy");
    assert_string_equal(masked, "D***");
    free(masked);
    mask_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_off),
        cmocka_unit_test(test_many_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
