/* The pure pieces of a cluster's router: slots, redirects, who has which slot. */
#include <stdio.h>
#include <string.h>

#include "common/redis/keys.h"
#include "common/redis/topology.h"
#include "tests/unit/unit.h"

static void test_crc16_is_xmodem(void **state)
{
    (void)state;
    assert_int_equal(redis_crc16("123456789", 9), 0x31C3);
    assert_int_equal(redis_crc16("", 0), 0);
}

static int slot_of(const char *key)
{
    return redis_slot(key, strlen(key));
}

/* Numbers as CLUSTER KEYSLOT of a Redis 7.0 gives them. */
static void test_slots(void **state)
{
    static const struct {
        const char *key;
        int slot;
    } rows[] = {
        {"foo", 12182},
        {"bar", 5061},
        {"{user1000}.following", 3443},
        {"user1000", 3443},
        {"foo{}{bar}", 8363},     /* an empty tag is none: the whole key counts */
        {"foo{{bar}}zap", 4015},  /* up to the first }: "{bar" */
        {"foo{bar}{zap}", 5061},
        {"foo{bar", 15278},
        {"foo}bar{", 11073},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (slot_of(rows[i].key) != rows[i].slot)
            fail_msg("%s: %d instead of %d", rows[i].key, slot_of(rows[i].key), rows[i].slot);
    }
    assert_int_equal(redis_slot("{a}\0x", 5), slot_of("a"));
}

/* What the installation advises must not pile up on one of a few nodes that share the slots evenly. */
static void test_partitions_spread(void **state)
{
    static const struct {
        int partitions, nodes, most;
    } rows[] = {{16, 3, 7}, {16, 4, 4}, {64, 3, 24}, {64, 4, 16}, {64, 6, 13}, {64, 8, 10}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct key_space space = {"rf", rows[i].partitions};
        int count[16] = {0};
        for (int p = 0; p < space.partitions; p++) {
            char key[KEY_SIZE];
            int node = slot_of(key_of_partition(key, &space, KEY_LIVE, p)) * rows[i].nodes / REDIS_SLOTS;
            if (++count[node] > rows[i].most)
                fail_msg("%d partitions on %d nodes: more than %d on one", space.partitions, rows[i].nodes,
                         rows[i].most);
        }
    }
}

static void test_all_keys_of_a_call_share_a_slot(void **state)
{
    const struct key_space space = {"rf", 64};
    char key[KEY_SIZE];
    int slot;
    (void)state;
    slot = slot_of(key_of_call(key, &space, KEY_CONTEXT, "CA1234"));
    for (int kind = KEY_SESSION; kind <= KEY_DEAD; kind++)
        assert_int_equal(slot_of(key_of_call(key, &space, (enum key_kind)kind, "CA1234")), slot);
}

#define KEY_AT(...) \
    redis_command_key((int)ARRAY_LEN(((const char *[]){__VA_ARGS__})), (const char *const[]){__VA_ARGS__})

static void test_which_word_is_the_key(void **state)
{
    (void)state;
    assert_int_equal(KEY_AT("GET", "k"), 1);
    assert_int_equal(KEY_AT("xadd", "k", "NOMKSTREAM", "1-1", "a", "b"), 1);
    assert_int_equal(KEY_AT("FCALL", "rf_end", "2", "k", "l", "x"), 3);
    assert_int_equal(KEY_AT("FCALL", "rf_version", "0"), -1);
    assert_int_equal(KEY_AT("FCALL", "rf_version", "0", "x"), -1);
    assert_int_equal(KEY_AT("XREAD", "COUNT", "1", "STREAMS", "k", "0"), 4);
    assert_int_equal(KEY_AT("XREADGROUP", "GROUP", "g", "c", "COUNT", "1", "STREAMS", "k", ">"), 7);
    assert_int_equal(KEY_AT("XREAD", "STREAMS"), -1);
    assert_int_equal(KEY_AT("XGROUP", "CREATE", "k", "g", "0", "MKSTREAM"), 2);
    assert_int_equal(KEY_AT("XINFO", "STREAM", "k"), 2);
    assert_int_equal(KEY_AT("PING"), -1);
    assert_int_equal(KEY_AT("SCAN", "0", "MATCH", "x"), -1);
    assert_int_equal(KEY_AT("CLUSTER", "SLOTS"), -1);
    assert_int_equal(KEY_AT("TIME"), -1);
}

static void test_slot_of_a_command_on_the_wire(void **state)
{
    static const char get[] = "*2\r\n$3\r\nGET\r\n$3\r\nfoo\r\n", time[] = "*1\r\n$4\r\nTIME\r\n";
    char *text;
    int len;
    (void)state;
    assert_int_equal(redis_wire_slot(get, sizeof get - 1), 12182);
    assert_int_equal(redis_wire_slot(time, sizeof time - 1), -1);
    len = redisFormatCommand(&text, "XREAD COUNT %d STREAMS %s %s", 10, "{user1000}.following", "0-0");
    assert_int_equal(redis_wire_slot(text, (size_t)len), 3443);
    redisFreeCommand(text);
}

/* -- redirects ----------------------------------------------------------------------------------- */

static void test_redirects(void **state)
{
    static const struct {
        const char *text;
        struct redirect is;
    } rows[] = {
        {"MOVED 3999 127.0.0.1:6381", {REDIRECT_MOVED, 3999, {"127.0.0.1", 6381}}},
        {"ASK 16383 redis-2.example:1", {REDIRECT_ASK, 16383, {"redis-2.example", 1}}},
        {"MOVED 0 2001:db8::7:65535", {REDIRECT_MOVED, 0, {"2001:db8::7", 65535}}},
        {"MOVED 7 :6379", {REDIRECT_MOVED, 7, {"", 6379}}},
        {"TRYAGAIN Multiple keys request during rehashing of slot", {.kind = REDIRECT_LATER}},
        {"CLUSTERDOWN The cluster is down", {.kind = REDIRECT_LATER}},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct redirect r = redirect_parse(rows[i].text);
        assert_int_equal(r.kind, rows[i].is.kind);
        assert_int_equal(r.slot, rows[i].is.slot);
        assert_true(redis_place_same(&r.to, &rows[i].is.to));
    }
}

static void test_what_is_no_redirect(void **state)
{
    static const char *const rows[] = {
        "",
        "MOVED",
        "MOVED ",
        "MOVED 1",
        "MOVED 1 ",
        "MOVED 1 host",
        "MOVED 1 host:",
        "MOVED 1 host:0",
        "MOVED 1 host:65536",
        "MOVED 1 host:99999999999999999999",
        "MOVED 1 host:12x",
        "MOVED 1 host:-1",
        "MOVED 16384 host:1",
        "MOVED -1 host:1",
        "MOVED x host:1",
        "MOVED 99999999999999999999 host:1",
        "MOVED 1 host:1 more",
        "MOVEDTO 1 host:1",
        "ASKING 1 host:1",
        "ASK 1 :",
        "TRYAGAINER",
        "moved 1 host:1",
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
        "CROSSSLOT Keys in request don't hash to the same slot",
    };
    char long_host[400];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (redirect_parse(rows[i]).kind != REDIRECT_NONE)
            fail_msg("taken for a redirect: %s", rows[i]);
    }
    snprintf(long_host, sizeof long_host, "MOVED 1 %0300d:1", 0);
    assert_int_equal(redirect_parse(long_host).kind, REDIRECT_NONE);
}

/* -- topology ------------------------------------------------------------------------------------ */

static const struct redis_place asked = {"10.0.0.9", 7000}, first = {"10.0.0.1", 7001}, second = {"10.0.0.2", 7002};

static redisReply *reply_of(const char *text)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL;
    assert_int_equal(redisReaderFeed(reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    redisReaderFree(reader);
    return reply;
}

static bool take(struct topology *t, const char *text)
{
    redisReply *reply = reply_of(text);
    bool taken = topology_take(t, reply, &asked);
    freeReplyObject(reply);
    return taken;
}

#define NODE(host, port) "*4\r\n$8\r\n" host "\r\n:" port "\r\n$2\r\nid\r\n*0\r\n"
#define TWO_NODES                                                                                      \
    "*3\r\n*4\r\n:0\r\n:99\r\n" NODE("10.0.0.1", "7001") NODE("10.0.0.3", "7003")                      \
    "*3\r\n:100\r\n:16000\r\n" NODE("10.0.0.2", "7002") "*3\r\n:16001\r\n:16383\r\n" NODE("10.0.0.1", "7001")

static void test_topology_is_taken(void **state)
{
    static struct topology t;
    int one, two;
    (void)state;
    assert_int_equal(topology_owner(&t, 0), TOPOLOGY_NOBODY);
    assert_false(topology_whole(&t));
    assert_true(take(&t, TWO_NODES));
    one = topology_node(&t, &first);
    two = topology_node(&t, &second);
    assert_int_equal(t.count, 2); /* replicas are not listed */
    assert_int_equal(topology_owner(&t, 0), one);
    assert_int_equal(topology_owner(&t, 99), one);
    assert_int_equal(topology_owner(&t, 100), two);
    assert_int_equal(topology_owner(&t, 16383), one);
    assert_int_equal(t.nodes[one].slots, 483);
    assert_int_equal(t.nodes[two].slots, 15901);
    assert_true(topology_whole(&t));

    /* 10.0.0.2 has lost its slots, half of them to nobody: it keeps its number until it is forgotten. */
    assert_true(take(&t, "*1\r\n*3\r\n:0\r\n:8191\r\n" NODE("10.0.0.1", "7001")));
    assert_int_equal(topology_owner(&t, 100), one);
    assert_int_equal(topology_owner(&t, 8192), TOPOLOGY_NOBODY);
    assert_false(topology_whole(&t));
    assert_int_equal(t.nodes[two].slots, 0);
    topology_forget(&t, two);
    assert_int_equal(topology_node(&t, &second), two);
}

static void test_moved_changes_one_slot(void **state)
{
    static struct topology t;
    int two;
    (void)state;
    assert_true(take(&t, TWO_NODES));
    two = topology_move(&t, 5, &second);
    assert_int_equal(two, topology_node(&t, &second));
    assert_int_equal(topology_owner(&t, 5), two);
    assert_int_equal(topology_owner(&t, 6), topology_node(&t, &first));
    assert_int_equal(t.nodes[two].slots, 15902);
    assert_true(topology_whole(&t));
}

static void test_a_node_that_does_not_know_its_name(void **state)
{
    static struct topology t;
    (void)state;
    assert_true(take(&t, "*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$-1\r\n:7005\r\n$2\r\nid\r\n"));
    assert_string_equal(t.nodes[topology_owner(&t, 1)].place.host, asked.host);
    assert_int_equal(t.nodes[topology_owner(&t, 1)].place.port, 7005);
}

static void test_replies_that_are_no_topology(void **state)
{
    static struct topology t;
    static const char *const rows[] = {
        "*0\r\n",
        "-ERR This instance has cluster support disabled\r\n",
        "+OK\r\n",
        "*1\r\n:1\r\n",
        "*1\r\n*2\r\n:0\r\n:1\r\n",
        "*1\r\n*3\r\n:0\r\n:16384\r\n" NODE("10.0.0.1", "7001"),
        "*1\r\n*3\r\n:-1\r\n:5\r\n" NODE("10.0.0.1", "7001"),
        "*1\r\n*3\r\n:9\r\n:5\r\n" NODE("10.0.0.1", "7001"),
        "*1\r\n*3\r\n:0\r\n:5\r\n" NODE("10.0.0.1", "0"),
        "*1\r\n*3\r\n:0\r\n:5\r\n" NODE("10.0.0.1", "65536"),
        "*1\r\n*3\r\n:0\r\n:5\r\n*1\r\n$1\r\na\r\n",
        "*1\r\n*3\r\n$1\r\n0\r\n:5\r\n" NODE("10.0.0.1", "7001"),
        "*2\r\n*3\r\n:0\r\n:5\r\n" NODE("10.0.0.1", "7001") "*0\r\n",
    };
    (void)state;
    assert_true(take(&t, TWO_NODES));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (take(&t, rows[i]))
            fail_msg("taken for a topology: %s", rows[i]);
        assert_true(topology_whole(&t));
        assert_int_equal(topology_owner(&t, 100), topology_node(&t, &second));
    }
    assert_false(topology_take(&t, NULL, &asked));
}

static void test_too_many_nodes(void **state)
{
    static struct topology t;
    struct redis_place place = {.port = 1};
    (void)state;
    for (int i = 0; i < TOPOLOGY_NODES; i++) {
        snprintf(place.host, sizeof place.host, "10.1.%d.%d", i / 256, i % 256);
        assert_int_equal(topology_move(&t, i, &place), i);
    }
    assert_int_equal(topology_move(&t, 9999, &first), TOPOLOGY_NOBODY);
    assert_int_equal(topology_owner(&t, 9999), TOPOLOGY_NOBODY);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc16_is_xmodem),
        cmocka_unit_test(test_slots),
        cmocka_unit_test(test_partitions_spread),
        cmocka_unit_test(test_all_keys_of_a_call_share_a_slot),
        cmocka_unit_test(test_which_word_is_the_key),
        cmocka_unit_test(test_slot_of_a_command_on_the_wire),
        cmocka_unit_test(test_redirects),
        cmocka_unit_test(test_what_is_no_redirect),
        cmocka_unit_test(test_topology_is_taken),
        cmocka_unit_test(test_moved_changes_one_slot),
        cmocka_unit_test(test_a_node_that_does_not_know_its_name),
        cmocka_unit_test(test_replies_that_are_no_topology),
        cmocka_unit_test(test_too_many_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
