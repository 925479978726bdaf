#include "flusher/dead.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/flusher/replies.h"
#include "tests/unit/unit.h"

static void assert_json(redisReply *pairs, const char *wanted)
{
    char *json = dead_entry_json(pairs);
    assert_string_equal(json, wanted);
    free(json);
    freeReplyObject(pairs);
}

static void test_entry_as_json(void **state)
{
    (void)state;
    assert_json(REPLY("*4\r\n$4\r\ntype\r\n$4\r\nturn\r\n$7\r\nmessage\r\n$7\r\n\"na\xc3\xaf\"\n\r\n"),
                "{\"type\":\"turn\",\"message\":\"\\\"na\xc3\xaf\\\"\\n\"}");
    assert_json(REPLY("*0\r\n"), "{}");
}

/* What Postgres refuses most surely must still be readable in the dead stream. */
static void test_bytes_that_are_no_text(void **state)
{
    (void)state;
    assert_json(REPLY("*2\r\n$1\r\nz\r\n$3\r\na\0b\r\n"), "{\"z\":\"a\\u0000b\"}");
    assert_json(REPLY("*2\r\n$1\r\nb\r\n$3\r\n\xff\xc3x\r\n"), "{\"b\":\"\xc3\xbf\xc3\x83x\"}");
}

static void test_list_keeps_what_was_added(void **state)
{
    struct dead_list list = {0};
    struct journal_entry entries[20];
    (void)state;
    memset(entries, 0, sizeof entries);
    for (int i = 0; i < 20; i++)
        assert_true(dead_add(&list, "CA1", &entries[i], i % 2 ? "23505" : "", "why"));
    assert_int_equal(list.count, 20);
    for (int i = 0; i < 20; i++) {
        assert_ptr_equal(list.letters[i].entry, &entries[i]);
        assert_string_equal(list.letters[i].sqlstate, i % 2 ? "23505" : "");
    }
    dead_release(&list);
    assert_int_equal(list.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entry_as_json),
        cmocka_unit_test(test_bytes_that_are_no_text),
        cmocka_unit_test(test_list_keeps_what_was_added),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
