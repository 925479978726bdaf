#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "worker/carrier/reorder.h"

/* Feeds the chunks in this order; what came out, each as a letter. */
static void feed(const char *in, const char *expected)
{
    struct reorder *r = calloc(1, sizeof *r);
    char out[64] = "";
    size_t n = 0;
    for (; *in; in++) {
        struct reorder_piece *piece;
        if (reorder_take(r, (uint64_t)(*in - 'a' + 1), (uint64_t)*in, in, 1) == REORDER_NOW)
            out[n++] = *in;
        while ((piece = reorder_next(r)) != NULL) {
            assert_int_equal(piece->len, 1);
            assert_int_equal(piece->timestamp_ms, piece->audio[0]);
            out[n++] = piece->audio[0];
        }
    }
    assert_int_equal(r->count >= 0 && r->count < REORDER_WAITING, 1);
    free(r);
    assert_string_equal(out, expected);
}

static void test_order(void **state)
{
    (void)state;
    feed("abcdef", "abcdef");
    feed("acbd", "abcd");
    feed("adcbe", "abcde");
    feed("aedcb", "abcde");
    feed("abcbd", "abcd");       /* late or twice: dropped */
    feed("acc", "a");            /* twice while it waits */
    feed("accbd", "abcd");
    feed("cdef", "cdef");        /* begins anywhere */
}

/* A piece that never comes costs its own 20 ms, and those behind it 80 ms at most. */
static void test_a_gap_is_given_up(void **state)
{
    (void)state;
    feed("acdef", "acdef");
    feed("acde", "a");
    feed("acdefbg", "acdefg");   /* and what comes too late is not put behind */
    feed("acegi", "ac");
    feed("acegikmo", "acegi");
    feed("adfhcb", "acd");
}

static void test_bounds(void **state)
{
    static char audio[REORDER_AUDIO_MAX + 1];
    struct reorder *r = calloc(1, sizeof *r);
    (void)state;
    assert_int_equal(reorder_take(r, 1, 0, audio, sizeof audio), REORDER_NOW); /* in order: any length */
    assert_int_equal(reorder_take(r, 3, 0, audio, sizeof audio), REORDER_DROPPED);
    assert_int_equal(reorder_take(r, 3, 0, audio, REORDER_AUDIO_MAX), REORDER_KEPT);
    assert_null(reorder_next(r));
    assert_int_equal(reorder_take(r, UINT64_MAX, 0, audio, 1), REORDER_KEPT);
    assert_int_equal(reorder_take(r, 2, 0, audio, 1), REORDER_NOW);
    assert_int_equal(reorder_next(r)->chunk, 3);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_a_gap_is_given_up),
        cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
