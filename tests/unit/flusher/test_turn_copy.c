#include "flusher/turn_copy.h"

#include <string.h>

#include "tests/unit/unit.h"

#define HEADER "PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0"
#define TRAILER "\377\377"
#define NONE "\377\377\377\377"

enum { SPEAKER, MESSAGE, CONFIDENCE, STARTED_MS, ENDED_MS, INTERRUPTED };

static struct journal_text text(const char *s)
{
    return (struct journal_text){s, s ? strlen(s) : 0};
}

/* The first millisecond of 2000 is where Postgres counts from. */
static struct journal_entry turn(uint64_t seq)
{
    struct journal_entry e = {.id = {1, seq}, .type = JOURNAL_TURN, .has_at = true, .at_ms = 946684800001};
    e.fields[SPEAKER] = text("caller");
    e.fields[MESSAGE] = text("hi");
    return e;
}

static void test_rows(void **state)
{
    static const char wanted[] =
        HEADER
        "\0\11" "\0\0\0\3CA1" "\0\0\0\4\0\0\0\1" "\0\0\0\10\0\0\0\0\0\0\0\2"
        "\0\0\0\6caller" "\0\0\0\2hi" NONE "\0\0\0\10\0\0\0\0\0\0\3\350" "\0\0\0\10\0\0\0\0\0\0\3\350"
        "\0\0\0\1\0"
        "\0\11" "\0\0\0\3CA1" "\0\0\0\4\0\0\0\2" "\0\0\0\10\0\0\0\0\0\0\0\5"
        NONE "\0\0\0\2hi" "\0\0\0\4\77\0\0\0" "\0\0\0\10\0\0\0\0\0\0\0\0"
        "\0\0\0\10\377\377\377\377\377\377\374\30" "\0\0\0\1\1"
        TRAILER;
    struct flush_call call = {.sid = "CA1", .is_new = true};
    struct journal_entry first = turn(2), second = turn(5);
    struct pick picks[] = {{&call, &first}, {&call, &second}}, left[2];
    struct turn_copy copy = {0};
    (void)state;
    second.fields[SPEAKER] = text(NULL);
    second.fields[CONFIDENCE] = text("0.5");
    second.fields[STARTED_MS] = text("946684800000");
    second.fields[ENDED_MS] = text("946684799999");
    second.fields[INTERRUPTED] = text("1");
    assert_int_equal(turn_copy_fill(&copy, picks, 2, left), 0);
    assert_false(copy.failed);
    assert_int_equal(copy.len, sizeof wanted - 1);
    assert_memory_equal(copy.bytes, wanted, sizeof wanted - 1);
    turn_copy_release(&copy);
}

/* What only the statement can judge stays with it, and all other turns of its call with it. */
static void test_left_to_the_statement(void **state)
{
    static const struct {
        int field;
        const char *value;
    } rows[] = {
        {CONFIDENCE, "1e-1"}, {CONFIDENCE, "much"}, {CONFIDENCE, "1.2.3"}, {CONFIDENCE, ".5"}, {CONFIDENCE, " 1"},
        {STARTED_MS, "1.5"}, {STARTED_MS, "-1"}, {ENDED_MS, "999999999999999"}, {ENDED_MS, "x"},
        {INTERRUPTED, "true"}, {INTERRUPTED, "2"},
    };
    struct turn_copy copy = {0};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct flush_call calls[] = {{.sid = "CA1", .is_new = true}, {.sid = "CA2", .is_new = true}, {.sid = "CA3"}};
        struct journal_entry good = turn(1), odd = turn(2);
        struct pick picks[] = {{&calls[0], &good}, {&calls[1], &good}, {&calls[1], &odd}, {&calls[2], &good}}, left[4];
        size_t alone;
        odd.fields[rows[i].field] = text(rows[i].value);
        turn_copy_fill(&copy, picks, 1, left);
        alone = copy.len;
        assert_int_equal(turn_copy_fill(&copy, picks, 4, left), 3);
        assert_int_equal(copy.len, alone);
        assert_ptr_equal(left[0].call, &calls[1]);
        assert_ptr_equal(left[1].entry, &odd);
        assert_ptr_equal(left[2].call, &calls[2]); /* it was there before */
    }
    turn_copy_release(&copy);
}

static void test_grows(void **state)
{
    enum { CALLS = 400 };
    static struct flush_call calls[CALLS];
    static struct pick picks[CALLS], left[CALLS];
    static char words[5000];
    struct journal_entry e = turn(1);
    struct turn_copy copy = {0};
    (void)state;
    memset(words, 'x', sizeof words - 1);
    e.fields[MESSAGE] = text(words);
    for (int i = 0; i < CALLS; i++) {
        calls[i] = (struct flush_call){.sid = "CA1", .is_new = true};
        picks[i] = (struct pick){&calls[i], &e};
    }
    assert_int_equal(turn_copy_fill(&copy, picks, CALLS, left), 0);
    assert_true(copy.len > CALLS * (sizeof words - 1));
    assert_memory_equal(copy.bytes, HEADER, sizeof HEADER - 1);
    assert_memory_equal(copy.bytes + copy.len - 2, TRAILER, 2);
    turn_copy_release(&copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_left_to_the_statement),
        cmocka_unit_test(test_grows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
