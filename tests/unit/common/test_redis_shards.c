/* The shards of a real cluster, and of a server alone, for who has no loop. */
#include "common/redis/shards.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "common/redis/functions.h"
#include "common/redis/slot.h"
#include "tests/unit/common/redis_cluster.h"
#include "tests/unit/common/redis_sentinel.h"
#include "tests/unit/unit.h"

enum { PARTITIONS = 16, TIMEOUT_MS = 5000 };

static const struct key_space keys = {"rf", PARTITIONS};
static struct redis_url url;
static struct redis_refusal why;

static struct redis_shards *shards_by(const char *text)
{
    const struct redis_sync_spec spec = {.url = &url, .keys = &keys, .name = "tester", .timeout_ms = TIMEOUT_MS};
    struct redis_shards *shards;
    assert_int_equal(redis_url_parse(text, &url, why.text, sizeof why.text), 0);
    shards = redis_shards_new(&spec);
    assert_non_null(shards);
    assert_int_equal(redis_shards_count(shards), 0);
    return shards;
}

static struct redis_shards *shards_at(uint16_t port)
{
    char text[64];
    snprintf(text, sizeof text, "redis://127.0.0.1:%u", port);
    return shards_by(text);
}

static void release(struct redis_shards *shards)
{
    redis_shards_free(shards);
    redis_url_release(&url);
}

static int slot_of(int partition)
{
    char key[KEY_SIZE];
    key_of_partition(key, &keys, KEY_LIVE, partition);
    return redis_slot(key, strlen(key));
}

static void assert_answers(struct redis_shard *shard, const char *word)
{
    char key[KEY_SIZE];
    redisReply *reply = redisCommand(shard->redis, "FCALL " REDIS_FUNCTION("rf_fill") " 1 %s",
                                     key_of_partition(key, &keys, KEY_LIVE, shard->partitions[0]));
    assert_non_null(reply);
    assert_string_equal(reply->type == REDIS_REPLY_ARRAY ? reply->element[0]->str : reply->str, word);
    freeReplyObject(reply);
}

static void test_each_primary_has_its_partitions(void **state)
{
    struct redis_shards *shards = shards_at(test_cluster.nodes[2].port);
    (void)state;
    assert_true(redis_shards_find(shards, &why));
    assert_true(redis_shards_complete(shards));
    assert_int_equal(redis_shards_count(shards), CLUSTER_NODES);
    for (int p = 0; p < PARTITIONS; p++) {
        struct redis_shard *shard = redis_shards_of(shards, slot_of(p));
        assert_non_null(shard);
        assert_int_equal(shard->_place.port, test_cluster.nodes[redis_cluster_home(slot_of(p))].port);
    }
    for (int i = 0; i < CLUSTER_NODES; i++) {
        struct redis_shard *shard = redis_shards_at(shards, i);
        assert_false(shard->alone);
        assert_null(shard->redis);
        assert_true(redis_shard_connect(shards, shard, &why));
        assert_answers(shard, "GONE");
    }
    release(shards);
}

static void test_a_server_has_all(void **state)
{
    struct redis_server server = {.port = 0};
    struct redis_shards *shards;
    struct redis_shard *shard;
    (void)state;
    redis_server_start(&server, NULL);
    shards = shards_at(server.port);
    assert_true(redis_shards_find(shards, &why));
    assert_int_equal(redis_shards_count(shards), 1);
    shard = redis_shards_at(shards, 0);
    assert_true(shard->alone);
    assert_int_equal(shard->count, PARTITIONS);
    assert_answers(shard, "GONE");
    redis_shard_lose(shard);
    assert_false(redis_shard_connect(shards, shard, &why)); /* it is to be found again */
    assert_true(redis_shards_find(shards, &why));
    assert_answers(redis_shards_at(shards, 0), "GONE");
    redis_server_kill(&server);
    assert_false(redis_shards_find(shards, &why));
    assert_int_equal(redis_shards_count(shards), 1); /* as it was */
    release(shards);
    redis_server_release(&server);
}

/* Whoever asks the old node hears of it, and finds the new one; the other connections stay. */
static void test_a_partition_moves(void **state)
{
    struct redis_shards *shards = shards_at(test_cluster.nodes[0].port);
    struct redis_shard *shard;
    redisContext *kept;
    int slot = slot_of(1), from = redis_cluster_home(slot), to = (from + 1) % CLUSTER_NODES;
    uint16_t port = test_cluster.nodes[to].port;
    (void)state;
    assert_true(redis_shards_find(shards, &why));
    for (int i = 0; i < CLUSTER_NODES; i++)
        assert_true(redis_shard_connect(shards, redis_shards_at(shards, i), &why));
    kept = redis_shards_of(shards, slot)->redis;
    redis_cluster_begin_move(&test_cluster, slot, from, to);
    redis_cluster_end_move(&test_cluster, slot, to);
    do
        assert_true(redis_shards_find(shards, &why)); /* each node is asked in turn, one may not know yet */
    while (redis_shards_of(shards, slot)->_place.port != port);
    assert_true(redis_shards_complete(shards));
    shard = redis_shards_of(shards, slot);
    assert_non_null(shard->redis);
    assert_ptr_not_equal(shard->redis, kept);
    for (int i = 0; i < CLUSTER_NODES; i++)
        assert_answers(redis_shards_at(shards, i), "GONE");
    release(shards);
}

/* A node that is lost takes nothing from the others. */
static void test_a_node_is_lost(void **state)
{
    struct redis_shards *shards = shards_at(test_cluster.nodes[1].port);
    int answered = 0;
    (void)state;
    assert_true(redis_shards_find(shards, &why));
    redis_server_kill(&test_cluster.nodes[0]);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        struct redis_shard *shard = redis_shards_at(shards, i);
        if (shard->_place.port == test_cluster.nodes[0].port) {
            assert_false(redis_shard_connect(shards, shard, &why));
            continue;
        }
        assert_true(redis_shard_connect(shards, shard, &why));
        answered++;
    }
    assert_int_equal(answered, CLUSTER_NODES - 1);
    assert_true(redis_shards_find(shards, &why));
    redis_cluster_restart(&test_cluster, 0);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        assert_true(redis_shard_connect(shards, redis_shards_at(shards, i), &why));
        assert_answers(redis_shards_at(shards, i), "GONE");
    }
    release(shards);
}

struct split {
    struct redis_server former, primary;
    struct redis_sentinel sentinels[3];
};

/* One of three Sentinels is cut off, and names the former primary. */
static void split(struct split *s)
{
    *s = (struct split){.former.port = 0};
    redis_server_start(&s->former, NULL);
    redis_server_start(&s->primary, NULL);
    for (int i = 0; i < 3; i++)
        redis_sentinel_start(&s->sentinels[i], i == 0 ? s->former.port : s->primary.port);
}

static void join(struct split *s)
{
    for (int i = 0; i < 3; i++)
        redis_sentinel_kill(&s->sentinels[i]);
    redis_server_release(&s->former);
    redis_server_release(&s->primary);
}

static void test_a_sentinel_that_is_behind(void **state)
{
    struct split s;
    char text[128];
    (void)state;
    split(&s);
    for (int first = 0; first < 3; first++) {
        struct redis_shards *shards = shards_by(redis_sentinel_url(s.sentinels, first, text));
        assert_true(redis_shards_find(shards, &why));
        if (first == 0) {
            assert_int_equal(redis_shards_at(shards, 0)->_place.port, s.former.port);
            assert_int_equal(redis_shards_primacy(shards), REDIS_DOUBTED);
            assert_int_equal(redis_shards_primacy(shards), REDIS_REPLACED);
            redis_shard_lose(redis_shards_at(shards, 0));
            assert_true(redis_shards_find(shards, &why));
        }
        assert_int_equal(redis_shards_at(shards, 0)->_place.port, s.primary.port);
        for (int i = 0; i < 6; i++)
            assert_int_not_equal(redis_shards_primacy(shards), REDIS_REPLACED);
        release(shards);
    }
    join(&s);
}

static void test_a_sentinel_that_names_a_dead_primary(void **state)
{
    struct redis_shards *shards;
    struct split s;
    char text[128];
    (void)state;
    split(&s);
    redis_server_kill(&s.former);
    shards = shards_by(redis_sentinel_url(s.sentinels, 0, text));
    assert_false(redis_shards_find(shards, &why));
    assert_true(redis_shards_find(shards, &why)); /* the next was asked */
    release(shards);
    join(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_primary_has_its_partitions),
        cmocka_unit_test(test_a_server_has_all),
        cmocka_unit_test(test_a_partition_moves),
        cmocka_unit_test(test_a_node_is_lost),
        cmocka_unit_test(test_a_sentinel_that_is_behind),
        cmocka_unit_test(test_a_sentinel_that_names_a_dead_primary),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, redis_cluster_setup, redis_cluster_teardown);
}
