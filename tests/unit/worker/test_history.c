#include "tests/unit/unit.h"

#include <stdio.h>

#include "worker/call/history.h"

static void add_numbered(struct history *h, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char text[16];
        snprintf(text, sizeof text, "turn %d", i);
        assert_true(history_add(h, i % 2 ? "caller" : "assistant", text));
    }
}

static void expect(const struct history *h, int place, int number)
{
    char text[16];
    snprintf(text, sizeof text, "turn %d", number);
    assert_string_equal(h->turns[place].text, text);
    assert_string_equal(h->turns[place].speaker, number % 2 ? "caller" : "assistant");
}

static void test_oldest_first(void **state)
{
    struct history h = {0};
    (void)state;
    add_numbered(&h, 1, 50);
    assert_int_equal(h.count, 50);
    for (int i = 0; i < 50; i++)
        expect(&h, i, i + 1);
    history_release(&h);
    assert_int_equal(h.count, 0);
}

/* However long a call is: the oldest turns are forgotten, the order of the others stays. */
static void test_bound(void **state)
{
    struct history h = {0};
    (void)state;
    add_numbered(&h, 1, HISTORY_MAX + 37);
    assert_int_equal(h.count, HISTORY_MAX);
    for (int i = 0; i < HISTORY_MAX; i++)
        expect(&h, i, i + 38);
    history_release(&h);
}

static void test_copies(void **state)
{
    struct history h = {0};
    char text[] = "before";
    (void)state;
    assert_true(history_add(&h, "a speaker whose name is too long", text));
    text[0] = 'B';
    assert_string_equal(h.turns[0].text, "before");
    assert_string_equal(h.turns[0].speaker, "a speaker whose");
    history_release(&h);
    history_release(&h); /* empty again: harmless */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_oldest_first),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
