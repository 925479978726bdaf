#include "tests/unit/unit.h"

#include <string.h>

#include "worker/call/tail.h"

enum { FRAME = 160, FRAMES = 2000 };

/* Every byte tells its place in the stream. */
static uint8_t byte_at(size_t place)
{
    return (uint8_t)(place * 31 + (place >> 8));
}

static size_t feed(struct tail *t, size_t *place, size_t len, bool needed)
{
    uint8_t audio[2 * TAIL_BYTES_MAX];
    assert_true(len <= sizeof audio);
    for (size_t i = 0; i < len; i++)
        audio[i] = byte_at((*place)++);
    return tail_keep(t, audio, len, needed);
}

/* The last bytes are those that came last, and all of them can be read. */
static void assert_last(const struct tail *t, size_t place, size_t len)
{
    uint8_t out[TAIL_BYTES_MAX], piece[777];
    size_t got = 0;
    for (size_t left = len, n; left > 0; left -= n) {
        n = tail_copy(t, left, piece, sizeof piece);
        assert_true(n > 0);
        memcpy(out + got, piece, n);
        got += n;
    }
    assert_int_equal(got, len);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(out[i], byte_at(place - len + i));
}

/* Of a caller who is silent there is always half a second, in no more room than that. */
static void test_lead(void **state)
{
    struct tail t = {0};
    size_t place = 0;
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        assert_int_equal(feed(&t, &place, FRAME, false), 0);
        assert_int_equal(t.unheard, 0);
    }
    assert_int_equal(t._blocks, 1);
    tail_unheard_all(&t);
    assert_int_equal(t.unheard, TAIL_LEAD_BYTES);
    assert_last(&t, place, t.unheard);
    tail_release(&t);
}

/* Words that no session has understood: five seconds of them, what is let go is told, and the room goes
 * back when they are understood. */
static void test_unheard(void **state)
{
    struct tail t = {0};
    size_t place = 0, lost = 0;
    (void)state;
    for (int i = 0; i < FRAMES; i++) {
        lost += feed(&t, &place, FRAME, true);
        assert_int_equal(lost + t.unheard, place);
        assert_true(t._blocks <= TAIL_BLOCKS_MAX && t._blocks <= 1 + t.unheard / TAIL_LEAD_BYTES);
    }
    assert_int_equal(t.unheard, TAIL_BYTES_MAX);
    assert_last(&t, place, t.unheard);
    t.unheard = 0;
    assert_int_equal(feed(&t, &place, FRAME, false), 0);
    assert_int_equal(t._blocks, 1);
    assert_last(&t, place, TAIL_LEAD_BYTES);
    tail_release(&t);
}

/* The caller begins to speak after silence: the lead counts as unheard, and nothing of it is lost as more comes. */
static void test_words_begin(void **state)
{
    struct tail t = {0};
    size_t place = 0;
    (void)state;
    for (int i = 0; i < 77; i++)
        feed(&t, &place, FRAME, false);
    tail_unheard_all(&t);
    for (int i = 0; i < 100; i++)
        assert_int_equal(feed(&t, &place, FRAME, true), 0);
    assert_int_equal(t.unheard, TAIL_LEAD_BYTES + 100 * FRAME);
    assert_last(&t, place, t.unheard);
    tail_release(&t);
}

/* One piece that is longer than all there may be: its end counts. */
static void test_too_much_at_once(void **state)
{
    struct tail t = {0};
    size_t place = 0;
    (void)state;
    assert_int_equal(feed(&t, &place, TAIL_LEAD_BYTES + 1000, false), 0);
    assert_last(&t, place, TAIL_LEAD_BYTES);
    assert_int_equal(feed(&t, &place, TAIL_BYTES_MAX + 1000, true), 1000);
    assert_last(&t, place, TAIL_BYTES_MAX);
    tail_release(&t);
}

/* Any order of all that, of pieces of any length. */
static void test_any_order(void **state)
{
    struct tail t = {0};
    size_t place = 0, unheard = 0;
    uint32_t seed = 2463534242u;
    (void)state;
    for (int i = 0; i < 20000; i++) {
        size_t len, lost;
        bool needed = unheard > 0;
        seed ^= seed << 13, seed ^= seed >> 17, seed ^= seed << 5;
        len = seed % 4097;
        if (seed >> 24 < 20) {
            t.unheard = (uint32_t)(unheard = 0);
            needed = seed >> 20 & 1;
        } else if (seed >> 24 < 40) {
            tail_unheard_all(&t);
            unheard = t.unheard;
            needed = true;
        }
        lost = feed(&t, &place, len, needed);
        unheard += needed ? len : 0;
        assert_int_equal(lost + t.unheard, unheard);
        unheard = t.unheard;
        assert_true(t.unheard <= t._len && t._len <= t._blocks * TAIL_LEAD_BYTES && t._blocks <= TAIL_BLOCKS_MAX);
        assert_last(&t, place, t._len);
        assert_true(lost == 0 || t._len == TAIL_BYTES_MAX);
    }
    tail_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lead),        cmocka_unit_test(test_unheard),
        cmocka_unit_test(test_words_begin), cmocka_unit_test(test_too_much_at_once),
        cmocka_unit_test(test_any_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
