#include "flusher/journal_read.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/flusher/replies.h"
#include "tests/unit/unit.h"

#define TURN                                                                                             \
    "*2\r\n$3\r\n2-7\r\n*10\r\n$4\r\ntype\r\n$4\r\nturn\r\n$2\r\nat\r\n$13\r\n1795184887583\r\n"         \
    "$7\r\nmessage\r\n$3\r\na\0b\r\n$7\r\nspeaker\r\n$6\r\ncaller\r\n$5\r\nextra\r\n$1\r\nx\r\n"
#define UNKNOWN "*2\r\n$3\r\n2-8\r\n*2\r\n$4\r\ntype\r\n$5\r\ntwist\r\n"

static void test_fields_stand_in_the_types_order(void **state)
{
    redisReply *reply = REPLY("*1\r\n" TURN);
    struct journal j;
    const struct journal_entry *e;
    (void)state;
    assert_true(journal_read(reply, STREAM_WRITES, &j));
    assert_int_equal(j.count, 1);
    e = &j.entries[0];
    assert_int_equal(e->type, JOURNAL_TURN);
    assert_int_equal(e->id.hi, 2);
    assert_int_equal(e->id.lo, 7);
    assert_true(e->has_at);
    assert_int_equal(e->at_ms, 1795184887583);
    assert_int_equal(e->fields[0].len, 6);
    assert_memory_equal(e->fields[0].str, "caller", 6);
    assert_int_equal(e->fields[1].len, 3);
    assert_memory_equal(e->fields[1].str, "a\0b", 3);
    for (int i = 2; i < JOURNAL_FIELDS_MAX; i++)
        assert_null(e->fields[i].str);
    assert_null(journal_entry_wrong(e));
    journal_release(&j);
    freeReplyObject(reply);
}

static void test_an_unknown_type_is_an_entry_like_others(void **state)
{
    redisReply *reply = REPLY("*2\r\n" TURN UNKNOWN);
    struct journal j;
    (void)state;
    assert_true(journal_read(reply, STREAM_WRITES, &j));
    assert_int_equal(j.count, 2);
    assert_int_equal(j.last.lo, 8);
    assert_int_equal(j.entries[1].type, JOURNAL_UNKNOWN);
    assert_string_equal(j.entries[1].type_name.str, "twist");
    assert_string_equal(journal_entry_wrong(&j.entries[1]), "unknown type");
    journal_release(&j);
    freeReplyObject(reply);
}

static void test_no_journal_is_an_empty_one(void **state)
{
    redisReply *reply = REPLY("*0\r\n");
    struct journal j;
    (void)state;
    assert_true(journal_read(reply, STREAM_EVENTS, &j));
    assert_int_equal(j.count, 0);
    assert_int_equal(j.last.hi, 0);
    journal_release(&j);
    freeReplyObject(reply);
}

static void test_refuses_what_is_no_range(void **state)
{
    static const char *const texts[] = {
        "$2\r\nno\r\n",
        "*1\r\n$3\r\n1-1\r\n",
        "*1\r\n*1\r\n$3\r\n1-1\r\n",
        "*1\r\n*2\r\n$3\r\n1_1\r\n*0\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n$-1\r\n",
        "*1\r\n*2\r\n:11\r\n*0\r\n",
        "*1\r\n*2\r\n$3\r\n1-1\r\n*2\r\n$4\r\ntype\r\n*0\r\n",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        redisReply *reply = reply_of(texts[i], strlen(texts[i]));
        struct journal j;
        assert_false(journal_read(reply, STREAM_WRITES, &j));
        journal_release(&j);
        freeReplyObject(reply);
    }
}

static void test_a_time_is_a_whole_positive_number(void **state)
{
    static const char *const bad[] = {"$0\r\n\r\n", "$1\r\nx\r\n", "$2\r\n1x\r\n", "$2\r\n-1\r\n",
                                      "$20\r\n99999999999999999999\r\n"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        char text[128];
        redisReply *reply;
        struct journal j;
        int len = snprintf(text, sizeof text, "*1\r\n*2\r\n$3\r\n1-1\r\n*4\r\n$4\r\ntype\r\n$4\r\nturn\r\n$2\r\nat\r\n%s",
                           bad[i]);
        reply = reply_of(text, (size_t)len);
        assert_true(journal_read(reply, STREAM_WRITES, &j));
        assert_string_equal(journal_entry_wrong(&j.entries[0]), "no time (at)");
        journal_release(&j);
        freeReplyObject(reply);
    }
}

/* Who may write what, as the design has it. */
static void test_each_type_belongs_to_a_stream(void **state)
{
    static const struct {
        enum journal_type type;
        bool writes, events;
    } rows[] = {
        {JOURNAL_CALL_OPEN, false, true},
        {JOURNAL_TURN, true, true},
        {JOURNAL_LEAD_UPDATE, true, false},
        {JOURNAL_APPOINTMENT_CREATE, true, false},
        {JOURNAL_CALLSESSION_UPDATE, true, true},
        {JOURNAL_CALL_STATUS, false, true},
        {JOURNAL_STREAM_ERROR, false, true},
        {JOURNAL_CALL_LINK, false, true},
        {JOURNAL_RECORDING, false, true},
        {JOURNAL_CALL_END, true, false},
    };
    (void)state;
    assert_int_equal(ARRAY_LEN(rows), JOURNAL_TYPE_COUNT);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct journal_entry e = {.type = rows[i].type, .has_at = true, .stream = STREAM_WRITES};
        assert_true((journal_entry_wrong(&e) == NULL) == rows[i].writes);
        e.stream = STREAM_EVENTS;
        assert_true((journal_entry_wrong(&e) == NULL) == rows[i].events);
    }
}

static void test_seq_comes_from_the_id_alone(void **state)
{
    struct journal_entry write = {.id = {3, 41}, .stream = STREAM_WRITES};
    struct journal_entry event = {.id = {1795184887583, 2}, .stream = STREAM_EVENTS};
    (void)state;
    assert_int_equal(journal_entry_seq(&write), 41);
    assert_int_equal(journal_entry_seq(&event), 1795184887583002);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_stand_in_the_types_order),
        cmocka_unit_test(test_an_unknown_type_is_an_entry_like_others),
        cmocka_unit_test(test_no_journal_is_an_empty_one),
        cmocka_unit_test(test_refuses_what_is_no_range),
        cmocka_unit_test(test_a_time_is_a_whole_positive_number),
        cmocka_unit_test(test_each_type_belongs_to_a_stream),
        cmocka_unit_test(test_seq_comes_from_the_id_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
