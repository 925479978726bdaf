/* The router against a real cluster that moves slots, loses nodes and gets new ones. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/redis/async.h"
#include "common/redis/functions.h"
#include "common/redis/slot.h"
#include "tests/unit/capture.h"
#include "tests/unit/common/redis_cluster.h"
#include "tests/unit/unit.h"

enum { GIVE_UP_SECONDS = 20 };

struct fixture {
    struct event_base *base;
    struct event *give_up;
    struct resolver *resolver;
    struct redis_url url;
    struct redis_async *ra;
    const struct key_space *keys;
    metric_value redirects;
    bool late;
    int ups, downs, answers, losses, errors;
    char text[256]; /* of the last answer */
};


static void on_give_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ((struct fixture *)arg)->late = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->base = event_base_new();
    f->give_up = evtimer_new(f->base, on_give_up, f);
    f->resolver = resolver_new(f->base);
    assert_non_null(f->resolver);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    redis_async_free(f->ra);
    redis_url_release(&f->url);
    resolver_free(f->resolver);
    event_free(f->give_up);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void on_up(void *arg)
{
    ((struct fixture *)arg)->ups++;
}

static void on_down(void *arg)
{
    ((struct fixture *)arg)->downs++;
}

/* Turns the loop until the condition holds; fails the test when it takes too long. */
#define TURN_UNTIL(f, condition)                             \
    do {                                                     \
        struct timeval limit_ = {GIVE_UP_SECONDS, 0};        \
        (f)->late = false;                                   \
        evtimer_add((f)->give_up, &limit_);                  \
        while (!(condition) && !(f)->late)                   \
            event_base_loop((f)->base, EVLOOP_ONCE);         \
        evtimer_del((f)->give_up);                           \
        if ((f)->late)                                       \
            fail_msg("never came: %s", #condition);          \
    } while (0)

static void begin(struct fixture *f, const char *text)
{
    struct redis_async_spec spec = {.base = f->base, .resolver = f->resolver, .url = &f->url, .name = "tester",
                                    .keys = f->keys, .on_up = on_up, .on_down = on_down, .arg = f,
                                    .redirects = &f->redirects};
    char error[256];
    assert_int_equal(redis_url_parse(text, &f->url, error, sizeof error), 0);
    f->ra = redis_async_new(&spec);
    assert_non_null(f->ra);
}

static void begin_whole(struct fixture *f)
{
    char url[64];
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", test_cluster.nodes[1].port);
    begin(f, url);
    assert_false(redis_async_up(f->ra));
    TURN_UNTIL(f, f->ups > 0);
    assert_true(redis_async_up(f->ra));
    assert_true(redis_async_whole(f->ra));
}

static void on_reply(redisAsyncContext *ctx, void *r, void *arg)
{
    struct fixture *f = arg;
    const redisReply *reply = r;
    (void)ctx;
    if (!reply) {
        f->losses++;
        return;
    }
    f->answers++;
    f->errors += reply->type == REDIS_REPLY_ERROR;
    if (reply->type == REDIS_REPLY_INTEGER)
        snprintf(f->text, sizeof f->text, "%lld", reply->integer);
    else if (reply->type == REDIS_REPLY_ARRAY)
        snprintf(f->text, sizeof f->text, "%s %s", redis_text(reply, 0), redis_text(reply, 1));
    else
        snprintf(f->text, sizeof f->text, "%s", reply->str ? reply->str : "nil");
}

static int send_words(struct fixture *f, const char *a, const char *b, const char *c)
{
    const char *argv[] = {a, b, c};
    return redis_async_send(f->ra, on_reply, f, c ? 3 : b ? 2 : 1, argv, NULL);
}

static const char *ask(struct fixture *f, const char *a, const char *b, const char *c)
{
    int before = f->answers;
    assert_int_equal(send_words(f, a, b, c), 0);
    TURN_UNTIL(f, f->answers > before);
    return f->text;
}

static int slot_of(const char *key)
{
    return redis_slot(key, strlen(key));
}

/* A key (without a tag) that lives on that node when nothing was moved. */
static const char *key_on(int node, char out[32])
{
    static int n;
    do
        snprintf(out, 32, "key-%d", n++);
    while (redis_cluster_home(slot_of(out)) != node);
    return out;
}

static uint64_t redirects(const struct fixture *f)
{
    return metric_get(&f->redirects);
}

/* -- every day ------------------------------------------------------------------------------------ */

static void test_each_key_finds_its_node(void **state)
{
    struct fixture *f = *state;
    char key[32];
    begin_whole(f);
    for (int i = 0; i < 60; i++) {
        key_on(i % CLUSTER_NODES, key);
        assert_string_equal(ask(f, "SET", key, key), "OK");
        assert_string_equal(ask(f, "GET", key, NULL), key);
    }
    assert_int_equal(redirects(f), 0);
    assert_string_equal(ask(f, "PING", NULL, NULL), "PONG");
}

static void test_functions_are_on_every_primary(void **state)
{
    struct fixture *f = *state;
    char key[32];
    begin_whole(f);
    for (int i = 0; i < CLUSTER_NODES; i++) {
        const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_fill"), "1", key_on(i, key)};
        int before = f->answers;
        assert_int_equal(redis_async_send(f->ra, on_reply, f, 4, argv, NULL), 0);
        TURN_UNTIL(f, f->answers > before);
        assert_string_equal(f->text, "GONE ");
    }
}

static void test_several_addresses_one_of_which_answers(void **state)
{
    struct fixture *f = *state;
    char url[128];
    snprintf(url, sizeof url, "redis://127.0.0.1:1,127.0.0.1:%u,127.0.0.1:2", test_cluster.nodes[2].port);
    begin(f, url);
    TURN_UNTIL(f, f->ups > 0);
}

static void test_several_addresses_are_a_cluster_or_nothing(void **state)
{
    struct fixture *f = *state;
    struct redis_server alone = {.port = 0};
    struct capture capture;
    char url[128], logged[4096];
    redis_server_start(&alone, NULL);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u,127.0.0.1:%u", alone.port, alone.port);
    capture_begin(&capture, STDERR_FILENO);
    begin(f, url);
    for (int i = 0; i < 20; i++)
        event_base_loop(f->base, EVLOOP_ONCE);
    capture_end(&capture, logged, sizeof logged);
    assert_int_equal(f->ups, 0);
    assert_non_null(strstr(logged, "several Redis addresses, but this server is no node of a cluster"));
    redis_server_release(&alone);
}

static void test_one_partition_is_a_pity(void **state)
{
    static const struct key_space one = {"one", 1};
    struct fixture *f = *state;
    struct capture capture;
    char logged[4096];
    f->keys = &one;
    capture_begin(&capture, STDERR_FILENO);
    begin_whole(f);
    capture_end(&capture, logged, sizeof logged);
    assert_non_null(strstr(logged, "RINGFLEET_PARTITIONS=1 keeps every call on one node"));
}

/* -- slots that move ------------------------------------------------------------------------------- */

static void test_a_moved_slot_is_learned(void **state)
{
    struct fixture *f = *state;
    char key[32];
    int slot = slot_of(key_on(0, key));
    begin_whole(f);
    assert_string_equal(ask(f, "SET", key, "before"), "OK");
    redis_cluster_begin_move(&test_cluster, slot, 0, 2);
    redis_cluster_move_key(&test_cluster, key, 0, 2);
    redis_cluster_end_move(&test_cluster, slot, 2);
    assert_string_equal(ask(f, "GET", key, NULL), "before");
    assert_int_equal(redirects(f), 1);
    assert_string_equal(ask(f, "SET", key, "after"), "OK");
    assert_int_equal(redirects(f), 1);
}

/* The key has gone ahead, the slot is still where it was: ASK, each time, and the map stays. */
static void test_a_slot_on_its_way(void **state)
{
    struct fixture *f = *state;
    char key[32];
    int slot = slot_of(key_on(1, key));
    begin_whole(f);
    redis_cluster_begin_move(&test_cluster, slot, 1, 0);
    assert_string_equal(ask(f, "INCR", key, NULL), "1"); /* a key that is not there is made where the slot goes */
    assert_string_equal(ask(f, "INCR", key, NULL), "2");
    assert_int_equal(redirects(f), 2);
    redis_cluster_end_move(&test_cluster, slot, 0);
    assert_string_equal(ask(f, "INCR", key, NULL), "3");
    assert_string_equal(ask(f, "INCR", key, NULL), "4");
    assert_int_equal(redirects(f), 3);
}

/* Two keys of a slot, the first of which has gone ahead from one node to another. */
struct split {
    char tag[32], keys[2][40];
    int slot, from, to;
};

static void begin_split(struct fixture *f, struct split *s, int from, int to)
{
    *s = (struct split){.from = from, .to = to};
    s->slot = slot_of(key_on(from, s->tag));
    for (int i = 0; i < 2; i++) {
        snprintf(s->keys[i], sizeof s->keys[i], "{%s}%d", s->tag, i);
        ask(f, "SET", s->keys[i], i ? "2" : "1");
    }
    redis_cluster_begin_move(&test_cluster, s->slot, from, to);
    redis_cluster_move_key(&test_cluster, s->keys[0], from, to);
}

static void end_split(const struct split *s)
{
    redis_cluster_move_key(&test_cluster, s->keys[1], s->from, s->to);
    redis_cluster_end_move(&test_cluster, s->slot, s->to);
}

static void send_for_both(struct fixture *f, const struct split *s)
{
    const char *argv[] = {"MGET", s->keys[0], s->keys[1]};
    assert_int_equal(redis_async_send(f->ra, on_reply, f, 3, argv, NULL), 0);
}

/* One key of two is on the way: the command waits until both are there. */
static void test_half_of_the_keys_have_moved(void **state)
{
    struct fixture *f = *state;
    struct split split;
    int before;
    begin_whole(f);
    begin_split(f, &split, 2, 1);
    before = f->answers;
    send_for_both(f, &split);
    TURN_UNTIL(f, redirects(f) > 2);
    assert_int_equal(f->answers, before);
    end_split(&split);
    TURN_UNTIL(f, f->answers > before);
    assert_string_equal(f->text, "1 2");
}

/* A migration that somebody gave up half way is not waited for for ever: the asker gets an error. */
static void test_patience_ends(void **state)
{
    struct fixture *f = *state;
    struct split split;
    int64_t began;
    begin_whole(f);
    begin_split(f, &split, 2, 0);
    began = clock_mono_ms();
    send_for_both(f, &split);
    TURN_UNTIL(f, f->errors == 1);
    assert_non_null(strstr(f->text, "no node took the command in time"));
    assert_in_range(clock_mono_ms() - began, 2500, 6000);
    end_split(&split);
}

/* A member without slots gets one: its link is made, our functions are loaded, then the command goes. */
static void test_a_new_primary(void **state)
{
    struct fixture *f = *state;
    char key[32];
    const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_fill"), "1", key};
    int slot = slot_of(key_on(1, key));
    begin_whole(f);
    redis_server_do(&test_cluster.nodes[CLUSTER_NODES], NULL, "FUNCTION FLUSH");
    redis_cluster_begin_move(&test_cluster, slot, 1, CLUSTER_NODES);
    redis_cluster_end_move(&test_cluster, slot, CLUSTER_NODES);
    assert_int_equal(redis_async_send(f->ra, on_reply, f, 4, argv, NULL), 0);
    TURN_UNTIL(f, f->answers == 1);
    assert_string_equal(f->text, "GONE ");
    assert_true(redirects(f) > 0);
    assert_true(redis_async_whole(f->ra));
}

static void test_free_tells_what_waits(void **state)
{
    struct fixture *f = *state;
    struct split split;
    char key[32];
    begin_whole(f);
    begin_split(f, &split, 0, 1);
    assert_int_equal(send_words(f, "BLPOP", key_on(2, key), "0"), 0);
    send_for_both(f, &split);
    TURN_UNTIL(f, redirects(f) > 4);
    redis_async_free(f->ra);
    f->ra = NULL;
    assert_int_equal(f->losses, 2);
    end_split(&split);
}

/* -- nodes that go ----------------------------------------------------------------------------------- */

/* What waits there is told "unknown", the others serve on; then it is back. */
static void test_a_node_is_lost(void **state)
{
    struct fixture *f = *state;
    char key[32], blocked[32], other[32];
    int ups;
    begin_whole(f);
    key_on(0, key);
    ask(f, "SET", key, "kept");
    assert_int_equal(send_words(f, "BLPOP", key_on(0, blocked), "0"), 0);
    ups = f->ups;
    redis_server_kill(&test_cluster.nodes[0]);
    TURN_UNTIL(f, f->downs == 1);
    assert_int_equal(f->losses, 1);
    assert_true(redis_async_up(f->ra));
    assert_false(redis_async_whole(f->ra));
    assert_int_equal(send_words(f, "GET", key, NULL), -1);
    assert_string_equal(ask(f, "SET", key_on(1, other), "x"), "OK");
    redis_cluster_restart(&test_cluster, 0);
    TURN_UNTIL(f, f->ups > ups);
    TURN_UNTIL(f, redis_async_whole(f->ra));
    assert_string_equal(ask(f, "GET", key, NULL), "kept");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(test_each_key_finds_its_node),
        TEST(test_functions_are_on_every_primary),
        TEST(test_several_addresses_one_of_which_answers),
        TEST(test_several_addresses_are_a_cluster_or_nothing),
        TEST(test_one_partition_is_a_pity),
        TEST(test_a_moved_slot_is_learned),
        TEST(test_a_slot_on_its_way),
        TEST(test_half_of_the_keys_have_moved),
        TEST(test_patience_ends),
        TEST(test_a_new_primary),
        TEST(test_free_tells_what_waits),
        TEST(test_a_node_is_lost),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, redis_cluster_setup, redis_cluster_teardown);
}
