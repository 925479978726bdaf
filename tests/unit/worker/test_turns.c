#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/call/turns.h"

static void expect(struct turns *t, bool all, int64_t now, const char *text)
{
    struct turn turn;
    assert_true(turns_take(t, all, now, &turn));
    assert_string_equal(turn.text, text);
    free(turn.text);
}

static void expect_none(struct turns *t, int64_t now)
{
    struct turn turn;
    assert_false(turns_take(t, false, now, &turn));
}

static void complete(struct turn *turn, const char *text)
{
    turn_replace(turn, text);
    turn->complete = true;
}

/* The caller's words come after the answer was heard: the order is still that of speaking. */
static void test_order(void **state)
{
    struct turns t = {0};
    (void)state;
    turns_open(&t, true, "u1", 0);
    complete(turns_open(&t, false, "a1", 1000), "Hello");
    expect_none(&t, 2000);
    assert_true(turns_waiting(&t));
    complete(turns_find(&t, "u1"), "Hi");
    expect(&t, false, 2000, "Hi");
    expect(&t, false, 2000, "Hello");
    expect_none(&t, 2000);
    assert_false(turns_waiting(&t));
}

/* Words that never come hold nothing up for ever, and words that come late are not lost. */
static void test_missing_words(void **state)
{
    struct turns t = {0};
    (void)state;
    turns_open(&t, true, "u1", 0);
    complete(turns_open(&t, false, "a1", 100), "Hello");
    expect_none(&t, TURN_WAIT_MS);
    expect(&t, false, TURN_WAIT_MS + 1, "Hello");
    complete(turns_open(&t, true, "u1", 9000), "late words");
    expect(&t, false, 9000, "late words");
}

/* Of an interrupted answer a provider may still say what was heard; an answer under way stays. */
static void test_a_missing_word_on_what_was_heard(void **state)
{
    struct turns t = {0};
    (void)state;
    turn_replace(turns_open(&t, false, "a1", 0), "One two");
    complete(turns_open(&t, true, "u1", 100), "Stop");
    expect_none(&t, TURN_WAIT_MS + 1);
    turns_find(&t, "a1")->interrupted = true;
    expect_none(&t, TURN_WAIT_MS);
    expect(&t, false, TURN_WAIT_MS + 1, "One two");
    expect(&t, false, TURN_WAIT_MS + 1, "Stop");
}

static void test_empty_turns_leave_no_trace(void **state)
{
    struct turns t = {0};
    (void)state;
    complete(turns_open(&t, true, "u1", 0), "");
    expect_none(&t, 0);
    complete(turns_open(&t, true, "u2", 0), " \n");
    expect_none(&t, 0);
    assert_int_equal(t.count, 0);
}

static void test_cut_to_what_was_heard(void **state)
{
    static const struct {
        const char *text, *kept;
        int64_t heard, sent;
    } rows[] = {
        {"one two three four", "one two", 500, 1000},
        {"one two three four", "one two three four", 1000, 1000},
        {"one two three four", "", 0, 1000},
        {"word", "", 500, 1000},
        {"はい、それでは十時に", "はい、それ", 500, 1000},
        {"OK, それでは火曜日の午前10時にご予約をお取りいたします", "OK, それでは火曜日の午前10時", 500, 1000},
        {"Здравствуйте, я вас слушаю", "Здравствуйте, я", 700, 1000},
        {"I don\xE2\x80\x99t know", "I", 600, 1000},
        {"\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D \xD7\x93\xD7\xA0\xD7\x94", "\xD7\xA9\xD7\x9C\xD7\x95\xD7\x9D", 800, 1000},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct turn turn = {0};
        turn_replace(&turn, rows[i].text);
        turn_cut(&turn, rows[i].heard, rows[i].sent);
        assert_string_equal(turn.text, rows[i].kept);
        free(turn.text);
    }
}

static void test_bounds(void **state)
{
    struct turns t = {0};
    struct turn *turn = turns_open(&t, false, "a", 0);
    char piece[1001];
    (void)state;
    memset(piece, 'x', 1000);
    piece[1000] = '\0';
    for (int i = 0; i < 100; i++)
        turn_append(turn, piece);
    assert_in_range(strlen(turn->text), TURN_TEXT_MAX - 1000, TURN_TEXT_MAX);
    for (int i = 0; i < 3 * TURNS_MAX; i++) {
        char id[16];
        snprintf(id, sizeof id, "u%d", i);
        turns_open(&t, true, id, 0);
    }
    assert_int_equal(t.count, TURNS_MAX);
    turns_release(&t);
}

/* Turns come and go, few or many at a time: they leave in order, and none is lost on the way from one room to another. */
static void test_room(void **state)
{
    struct turns t = {0};
    char id[16];
    int opened = 0, left = 0;
    (void)state;
    for (int many = 1; many <= TURNS_MAX; many++) {
        for (int i = 0; i < many; i++) {
            snprintf(id, sizeof id, "u%d", opened++);
            complete(turns_open(&t, true, id, 0), id);
        }
        assert_int_equal(t.count, many);
        while (left < opened) {
            snprintf(id, sizeof id, "u%d", left++);
            expect(&t, false, 0, id);
        }
        expect_none(&t, 0);
    }
    turns_release(&t);
}

static void test_call_over(void **state)
{
    struct turns t = {0};
    (void)state;
    turns_open(&t, true, "u1", 0);
    turn_append(turns_open(&t, false, "a1", 0), "I was just");
    turn_append(turns_find(&t, "a1"), " saying");
    expect(&t, true, 0, "I was just saying");
    assert_int_equal(t.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_missing_words),
        cmocka_unit_test(test_a_missing_word_on_what_was_heard),
        cmocka_unit_test(test_empty_turns_leave_no_trace),
        cmocka_unit_test(test_cut_to_what_was_heard),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_room),
        cmocka_unit_test(test_call_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
