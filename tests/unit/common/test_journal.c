#include "common/redis/journal.h"

#include <string.h>

#include "tests/unit/unit.h"

/* The contract of the journal, word for word: people's apply_<type>.sql depends on it. */
static const struct {
    enum journal_type type;
    const char *name;
    const char *fields;
} contract[] = {
    {JOURNAL_CALL_OPEN, "call_open", "from to direction started_ms"},
    {JOURNAL_TURN, "turn", "speaker message confidence started_ms ended_ms interrupted"},
    {JOURNAL_LEAD_UPDATE, "lead_update", "lead_id field value"},
    {JOURNAL_APPOINTMENT_CREATE, "appointment_create", "business_id lead_id starts_at ends_at title notes"},
    {JOURNAL_CALLSESSION_UPDATE, "callsession_update", "data"},
    {JOURNAL_CALL_STATUS, "call_status", "status duration sequence reason"},
    {JOURNAL_STREAM_ERROR, "stream_error", "stream_sid error"},
    {JOURNAL_CALL_LINK, "call_link", "conversation_id provider_call_sid"},
    {JOURNAL_RECORDING, "recording", "recording_sid url duration"},
    {JOURNAL_CALL_END, "call_end", "reason metrics"},
};

static void test_types_and_fields(void **state)
{
    (void)state;
    assert_int_equal(JOURNAL_TYPE_COUNT, ARRAY_LEN(contract));
    for (size_t i = 0; i < ARRAY_LEN(contract); i++) {
        const struct journal_type_row *row = &journal_types[contract[i].type];
        char fields[128] = "";
        assert_int_equal(journal_type_named(contract[i].name), contract[i].type);
        assert_string_equal(row->name, contract[i].name);
        for (int f = 0; f < row->field_count; f++) {
            strcat(fields, f ? " " : "");
            strcat(fields, row->fields[f]);
        }
        assert_string_equal(fields, contract[i].fields);
    }
}

static void test_unknown_types(void **state)
{
    static const char *const names[] = {"", "turns", "Turn", "tur", "turn "};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(journal_type_named(names[i]), JOURNAL_UNKNOWN);
}

static void test_ids_there_and_back(void **state)
{
    static const char *const ids[] = {"0-0", "1-1", "3-4711", "1763647500123-0",
                                      "18446744073709551615-18446744073709551615"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        struct stream_id id;
        char text[STREAM_ID_SIZE];
        assert_true(stream_id_parse(ids[i], &id));
        assert_string_equal(stream_id_format(text, id), ids[i]);
    }
}

static void test_bad_ids(void **state)
{
    static const char *const ids[] = {
        "",     "-",    "1",    "1-",   "-1",    "1-2-3", "1--2",  "a-1",  "1-a", "1-2 ",
        " 1-2", "1 -2", "1- 2", "+1-2", "1-+2", "1.0-2", "0x1-2", "1-2\n", "*",   "18446744073709551616-0",
        "0-18446744073709551616",
    };
    struct stream_id id;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ids); i++) {
        if (stream_id_parse(ids[i], &id))
            fail_msg("accepted \"%s\"", ids[i]);
    }
}

/* In rising order; the epoch counts before the sequence, as numbers, not as text. */
static void test_order(void **state)
{
    static const struct stream_id ids[] = {{0, 0}, {0, 1}, {1, 0}, {1, 9}, {1, 10}, {2, 0}, {9, 1}, {10, 0},
                                           {UINT64_MAX, 0}, {UINT64_MAX, UINT64_MAX}};
    (void)state;
    for (int i = 0; i < (int)ARRAY_LEN(ids); i++) {
        for (int j = 0; j < (int)ARRAY_LEN(ids); j++)
            assert_int_equal(stream_id_compare(ids[i], ids[j]), (i > j) - (i < j));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types_and_fields), cmocka_unit_test(test_unknown_types),
        cmocka_unit_test(test_ids_there_and_back), cmocka_unit_test(test_bad_ids),
        cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
