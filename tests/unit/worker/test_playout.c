#include "tests/unit/unit.h"

#include <stdio.h>
#include <string.h>

#include "worker/call/playout.h"

enum { SECOND = 1000 * PLAYOUT_BYTES_PER_MS };

static void send_seconds(struct playout *p, const char *item, int seconds, int64_t now)
{
    for (int i = 0; i < seconds; i++)
        playout_sent(p, item, 0, SECOND, now);
}

/* Audio is sent much faster than it plays: heard follows the clock, never what was sent. */
static void test_heard_by_the_clock(void **state)
{
    struct playout p = {0};
    (void)state;
    send_seconds(&p, "a", 10, 1000);
    assert_int_equal(playout_item_sent_ms(&p, 0), 10000);
    assert_int_equal(playout_item_heard_ms(&p, 0, 1000), 0);
    assert_int_equal(playout_item_heard_ms(&p, 0, 3500), 2500);
    assert_int_equal(playout_item_heard_ms(&p, 0, 99000), 10000);
    assert_false(playout_idle(&p));
}

static void test_marks(void **state)
{
    struct playout p = {0};
    char name[PLAYOUT_MARK_SIZE], second[PLAYOUT_MARK_SIZE];
    (void)state;
    playout_sent(&p, "a", 0, 100, 0);
    assert_false(playout_wants_mark(&p, false, name)); /* sparse */
    assert_true(playout_wants_mark(&p, true, name));
    assert_string_equal(name, "0.100");
    assert_false(playout_wants_mark(&p, true, second)); /* nothing new */
    playout_sent(&p, "a", 0, PLAYOUT_MARK_FIRST_MS * PLAYOUT_BYTES_PER_MS, 0);
    assert_true(playout_wants_mark(&p, false, second));
    assert_true(playout_marked(&p, name, 50));
    assert_false(playout_marked(&p, name, 60)); /* once */
    assert_false(playout_idle(&p));
    assert_true(playout_marked(&p, second, 700));
    assert_true(playout_idle(&p));
    assert_false(playout_marked(&p, "0.999999", 800)); /* past what was marked */
    assert_false(playout_marked(&p, "garbage", 800));
}

/* A mark corrects the clock: the carrier may have begun later than we sent. */
static void test_mark_sets_the_clock(void **state)
{
    struct playout p = {0};
    char name[PLAYOUT_MARK_SIZE];
    (void)state;
    send_seconds(&p, "a", 1, 0);
    assert_true(playout_wants_mark(&p, true, name));
    send_seconds(&p, "a", 4, 0);
    assert_true(playout_marked(&p, name, 1800));
    assert_int_equal(playout_item_heard_ms(&p, 0, 1800), 1000);
    assert_int_equal(playout_item_heard_ms(&p, 0, 2000), 1200);
}

/* After a clear the carrier echoes every mark at once; those must not count. */
static void test_generations(void **state)
{
    struct playout p = {0};
    char old[PLAYOUT_MARK_SIZE], fresh[PLAYOUT_MARK_SIZE];
    (void)state;
    send_seconds(&p, "a", 5, 0);
    assert_true(playout_wants_mark(&p, true, old));
    playout_clear(&p);
    assert_true(playout_idle(&p));
    assert_int_equal(p.item_count, 0);
    assert_false(playout_marked(&p, old, 10));
    send_seconds(&p, "b", 1, 20);
    assert_false(playout_marked(&p, old, 30));
    assert_int_equal(playout_item_heard_ms(&p, 0, 520), 500);
    assert_true(playout_wants_mark(&p, true, fresh));
    assert_true(playout_marked(&p, fresh, 1020));
}

/* Two items in the queue: the second one starts to be heard when the first is over. */
static void test_items(void **state)
{
    struct playout p = {0};
    struct playout_item done;
    char name[PLAYOUT_MARK_SIZE];
    (void)state;
    send_seconds(&p, "a", 2, 0);
    send_seconds(&p, "b", 2, 0);
    assert_int_equal(p.item_count, 2);
    assert_int_equal(playout_item_heard_ms(&p, 1, 1900), 0);
    assert_int_equal(playout_item_heard_ms(&p, 1, 2500), 500);
    assert_true(playout_wants_mark(&p, true, name));
    assert_true(playout_marked(&p, name, 4000));
    assert_false(playout_finished(&p, &done)); /* more may come */
    playout_complete(&p);
    assert_true(playout_finished(&p, &done));
    assert_string_equal(done.id, "a");
    assert_true(playout_finished(&p, &done));
    assert_string_equal(done.id, "b");
    assert_false(playout_finished(&p, &done));
}

/* A pause between two sends: playing starts again with the second. */
static void test_underrun(void **state)
{
    struct playout p = {0};
    char name[PLAYOUT_MARK_SIZE];
    (void)state;
    send_seconds(&p, "a", 1, 0);
    assert_true(playout_wants_mark(&p, true, name));
    assert_true(playout_marked(&p, name, 1000));
    send_seconds(&p, "a", 1, 9000);
    assert_int_equal(playout_item_heard_ms(&p, 0, 9100), 1100);
}

/* The same without a mark: by the clock it had nothing left. */
static void test_underrun_between_marks(void **state)
{
    struct playout p = {0};
    (void)state;
    send_seconds(&p, "a", 1, 0);
    send_seconds(&p, "a", 1, 9000);
    assert_int_equal(playout_item_heard_ms(&p, 0, 9100), 1100);
    send_seconds(&p, "a", 1, 9500); /* before it is over: it goes on */
    assert_int_equal(playout_item_heard_ms(&p, 0, 10500), 2500);
}

/* Marks are close where the carrier has just begun, and rare once it plays. */
static void test_sparse_marks(void **state)
{
    static const int expected_ms[] = {500, 1000, 2000, 4000, 6000, 8000};
    struct playout p = {0};
    char name[PLAYOUT_MARK_SIZE], wanted[PLAYOUT_MARK_SIZE];
    size_t marks = 0;
    (void)state;
    for (int ms = 20; ms <= 8000; ms += 20) {
        playout_sent(&p, "a", 0, 20 * PLAYOUT_BYTES_PER_MS, ms / 4);
        if (!playout_wants_mark(&p, false, name))
            continue;
        assert_int_equal(ms, expected_ms[marks++]);
    }
    assert_int_equal(marks, ARRAY_LEN(expected_ms));
    snprintf(wanted, sizeof wanted, "0.%d", 8 * SECOND);
    assert_string_equal(name, wanted);
    assert_true(playout_marked(&p, name, 9000)); /* all of it: the next answer begins anew */
    playout_sent(&p, "b", 0, PLAYOUT_MARK_FIRST_MS * PLAYOUT_BYTES_PER_MS, 20000);
    assert_true(playout_wants_mark(&p, false, name));
}

static void test_bound(void **state)
{
    struct playout p = {0};
    (void)state;
    for (int i = 0; i < 20; i++) {
        char id[8] = {(char)('a' + i)};
        playout_sent(&p, id, 0, SECOND, 0);
    }
    assert_int_equal(p.item_count, PLAYOUT_ITEMS);
    assert_int_equal(p.sent, 20 * SECOND); /* nothing is unaccounted */
    assert_int_equal(p.items[PLAYOUT_ITEMS - 1].end, 20 * SECOND);
    playout_release(&p);
}

/* Items come and go, few or many at a time: they stay in order, and none is lost on the way from one room to another. */
static void test_room(void **state)
{
    struct playout p = {0};
    struct playout_item done;
    char name[PLAYOUT_MARK_SIZE], id[16];
    int sent = 0, heard = 0;
    (void)state;
    for (int many = 1; many <= PLAYOUT_ITEMS; many++) {
        for (int i = 0; i < many; i++) {
            snprintf(id, sizeof id, "i%d", sent++);
            playout_sent(&p, id, 0, SECOND, 0);
        }
        assert_int_equal(p.item_count, many);
        playout_complete(&p);
        assert_true(playout_wants_mark(&p, true, name));
        assert_true(playout_marked(&p, name, 0));
        while (playout_finished(&p, &done)) {
            snprintf(id, sizeof id, "i%d", heard++);
            assert_string_equal(done.id, id);
        }
        assert_int_equal(heard, sent);
    }
    playout_release(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heard_by_the_clock), cmocka_unit_test(test_marks),
        cmocka_unit_test(test_mark_sets_the_clock), cmocka_unit_test(test_generations),
        cmocka_unit_test(test_items),              cmocka_unit_test(test_underrun),
        cmocka_unit_test(test_bound),              cmocka_unit_test(test_room),
        cmocka_unit_test(test_underrun_between_marks), cmocka_unit_test(test_sparse_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
