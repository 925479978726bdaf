#include "warmer/memo.h"

#include <stdio.h>

#include "tests/unit/unit.h"
#include "warmer/context.h"

static void learn(struct memos *memos, const char *number, const char *apology, const char *fallback)
{
    struct context c = {0};
    assert_int_equal(context_set(&c, "apology_text", apology), 0);
    assert_int_equal(context_set(&c, "fallback_number", fallback), 0);
    memo_learn(memos, number, &c);
    context_release(&c);
}

static void test_what_was_said_last(void **state)
{
    static struct memos memos;
    (void)state;
    assert_null(memo_find(&memos, "+1"));
    learn(&memos, "+1", "Sorry.", "");
    assert_string_equal(memo_find(&memos, "+1")->apology_text, "Sorry.");
    assert_null(memo_find(&memos, "+1")->fallback_number);
    memo_find(&memos, "+1")->kept_ms = 7;
    learn(&memos, "+1", "", "+2");
    assert_null(memo_find(&memos, "+1")->apology_text);
    assert_string_equal(memo_find(&memos, "+1")->fallback_number, "+2");
    assert_int_equal(memo_find(&memos, "+1")->kept_ms, 7);
    assert_null(memo_find(&memos, "+2"));
    memos_release(&memos);
    assert_null(memo_find(&memos, "+1"));
}

/* More numbers than places: each is either known as it was said, or not at all. */
static void test_bound(void **state)
{
    static struct memos memos;
    char number[24];
    int known = 0;
    (void)state;
    for (int i = 0; i < 3 * MEMO_MAX; i++) {
        snprintf(number, sizeof number, "+1415%d", i);
        learn(&memos, number, number, "");
    }
    for (int i = 0; i < 3 * MEMO_MAX; i++) {
        snprintf(number, sizeof number, "+1415%d", i);
        if (memo_find(&memos, number)) {
            assert_string_equal(memo_find(&memos, number)->apology_text, number);
            known++;
        }
    }
    assert_in_range(known, MEMO_MAX / 2, MEMO_MAX);
    memos_release(&memos);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_said_last),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
