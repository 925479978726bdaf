#include "common/redis/keys.h"

#include <stdio.h>
#include <string.h>

#include "tests/unit/unit.h"

#define SID "CA0123456789abcdef0123456789abcdef"

static const struct key_space one = {"rf", 1}, sixteen = {"rf", 16};

/* Spelled as people read them with redis-cli. */
static void test_names(void **state)
{
    char key[KEY_SIZE];
    (void)state;
    assert_string_equal(key_of_call(key, &one, KEY_CONTEXT, SID), "rf:{p0}:call:" SID);
    assert_string_equal(key_of_call(key, &one, KEY_SESSION, SID), "rf:{p0}:call:" SID ":session");
    assert_string_equal(key_of_call(key, &one, KEY_WRITES, SID), "rf:{p0}:call:" SID ":writes");
    assert_string_equal(key_of_call(key, &one, KEY_EVENTS, SID), "rf:{p0}:call:" SID ":events");
    assert_string_equal(key_of_partition(key, &one, KEY_LIVE, 0), "rf:{p0}:live");
    assert_string_equal(key_of_partition(key, &one, KEY_ENDED, 0), "rf:{p0}:ended");
    assert_string_equal(key_of_partition(key, &one, KEY_FLUSHED, 0), "rf:{p0}:flushed");
    assert_string_equal(key_of_partition(key, &one, KEY_DEAD, 0), "rf:{p0}:dead");
    assert_string_equal(key_global(key, &one, "business", "42", NULL), "rf:business:42");
    assert_string_equal(key_slot(key, &one, "42", 1793000000), "rf:slot:{42}:2026-10-26T07:33:20Z");
}

/* All keys of a call and of its partition share the hash tag. */
static void test_one_tag_per_call(void **state)
{
    char key[KEY_SIZE];
    (void)state;
    for (int kind = KEY_CONTEXT; kind <= KEY_DEAD; kind++)
        assert_int_equal(strncmp(key_of_call(key, &sixteen, (enum key_kind)kind, SID), "rf:{p9}:", 8), 0);
    assert_string_equal(key_of_call(key, &sixteen, KEY_ENDED, SID), "rf:{p9}:ended");
}

static void test_prefix(void **state)
{
    const struct key_space mine = {"tenant-7", 4};
    char key[KEY_SIZE];
    (void)state;
    assert_string_equal(key_of_partition(key, &mine, KEY_LIVE, 3), "tenant-7:{p3}:live");
}

/* Calls that wait in Redis are found by these numbers, so they may never change. FNV-1a, 32 bit:
 *
 *   h = 2166136261
 *   for byte in sid.encode(): h = ((h ^ byte) * 16777619) & 0xffffffff
 *
 * The hashes of "a" and "foobar" (e40c292c, bf9cf968) are in the test vectors of
 * draft-eastlake-fnv. */
static void test_partition_never_moves(void **state)
{
    static const struct {
        const char *sid;
        int of16, of64, of1024;
    } vectors[] = {
        {"a", 12, 44, 300},
        {"foobar", 8, 40, 360},
        {SID, 9, 41, 361},
        {"CAffffffffffffffffffffffffffffffff", 9, 9, 585},
        {"conv_01jx", 1, 1, 193},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(vectors); i++) {
        const struct key_space of64 = {"rf", 64}, of1024 = {"rf", 1024};
        assert_int_equal(key_partition(&one, vectors[i].sid), 0);
        assert_int_equal(key_partition(&sixteen, vectors[i].sid), vectors[i].of16);
        assert_int_equal(key_partition(&of64, vectors[i].sid), vectors[i].of64);
        assert_int_equal(key_partition(&of1024, vectors[i].sid), vectors[i].of1024);
    }
}

static void test_sid_validity(void **state)
{
    static const char *const good[] = {"CA1", SID, "conv_01.a:b+c-d", "Z"};
    static const char *const bad[] = {"", "CA 1", "CA1\n", "CA{p0}", "CA*", "CA\xc3\xa9", "CA/1", "CA\"", "\x01"};
    char longest[CALL_SID_SIZE + 1];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(call_sid_valid(good[i]));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(call_sid_valid(bad[i]));
    memset(longest, 'A', CALL_SID_SIZE);
    longest[CALL_SID_SIZE] = '\0';
    assert_false(call_sid_valid(longest));
    longest[CALL_SID_SIZE - 1] = '\0';
    assert_true(call_sid_valid(longest));
}

/* Two calls whose names differ only at the end must not share a key. */
static void test_longest_names_fit(void **state)
{
    char prefix[65], sid[CALL_SID_SIZE], key[KEY_SIZE];
    const struct key_space space = {prefix, 1024};
    (void)state;
    memset(prefix, 'p', 64);
    prefix[64] = '\0';
    memset(sid, 'A', CALL_SID_SIZE - 1);
    sid[CALL_SID_SIZE - 1] = '\0';
    key_of_call(key, &space, KEY_SESSION, sid);
    assert_string_equal(key + strlen(key) - 10, "AA:session");
    assert_int_equal(strspn(strstr(key, ":call:") + 6, "A"), CALL_SID_SIZE - 1);
}

static void test_global_that_does_not_fit(void **state)
{
    char key[KEY_SIZE], id[KEY_SIZE + 1];
    (void)state;
    memset(id, '9', KEY_SIZE);
    id[KEY_SIZE] = '\0';
    assert_null(key_global(key, &one, "number", id, NULL));
    id[KEY_SIZE - strlen("rf:number:")] = '\0';
    assert_null(key_global(key, &one, "number", id, NULL));
    id[KEY_SIZE - strlen("rf:number:") - 1] = '\0';
    assert_non_null(key_global(key, &one, "number", id, NULL));
    assert_int_equal(strlen(key), KEY_SIZE - 1);
}

static void test_keys_of_calls_that_we_dial(void **state)
{
    char key[KEY_SIZE], id[KEY_SIZE + 1];
    (void)state;
    assert_string_equal(key_alias(key, &one, "CA1"), "rf:{p0}:alias:CA1");
    snprintf(id, sizeof id, "rf:{p%d}:alias:CA1", key_partition(&sixteen, "CA1"));
    assert_string_equal(key_alias(key, &sixteen, "CA1"), id);
    assert_string_equal(key_outbound(key, &sixteen, "queue", NULL), "rf:{outbound}:queue");
    assert_string_equal(key_outbound(key, &one, "key", "ab"), "rf:{outbound}:key:ab");
    memset(id, '9', KEY_SIZE);
    id[KEY_SIZE] = '\0';
    assert_null(key_alias(key, &one, id));
    assert_null(key_outbound(key, &one, "key", id));
}

static void test_a_sessions_call(void **state)
{
    static const struct key_space four = {"rf", 4};
    static const char *const none[] = {"rf:{p0}:call:CA1", "rf:{p0}:call:CA1:writes", "xx:{p0}:call:CA1:session",
                                       "rf:{p1}:call:CA1:session", "rf:{p0}:call::session", "rf:{p0}:call:C 1:session",
                                       "rf:{p0}:live", "", "CA1:session"};
    char key[KEY_SIZE], sid[CALL_SID_SIZE], longest[CALL_SID_SIZE + 1];
    (void)state;
    assert_string_equal(key_session_pattern(key, &one), "rf:{p*}:call:*:session");
    assert_string_equal(key_session_call(sid, &one, "rf:{p0}:call:CA:1:session"), "CA:1");
    assert_string_equal(key_session_call(sid, &four, key_of_call(key, &four, KEY_SESSION, "CA1")), "CA1");
    for (size_t i = 0; i < ARRAY_LEN(none); i++)
        assert_null(key_session_call(sid, &one, none[i]));
    memset(longest, 'A', sizeof longest);
    longest[CALL_SID_SIZE - 1] = '\0';
    assert_string_equal(key_session_call(sid, &one, key_of_call(key, &one, KEY_SESSION, longest)), longest);
    longest[CALL_SID_SIZE - 1] = 'A';
    longest[CALL_SID_SIZE] = '\0';
    snprintf(key, sizeof key, "rf:{p0}:call:%s:session", longest);
    assert_null(key_session_call(sid, &one, key));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_one_tag_per_call),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_partition_never_moves),
        cmocka_unit_test(test_sid_validity),
        cmocka_unit_test(test_longest_names_fit),
        cmocka_unit_test(test_global_that_does_not_fit),
        cmocka_unit_test(test_keys_of_calls_that_we_dial),
        cmocka_unit_test(test_a_sessions_call),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
