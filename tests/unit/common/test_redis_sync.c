#include "common/redis/sync.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/redis/functions.h"
#include "common/redis/tls.h"
#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"
#include "tests/unit/common/redis_server.h"

enum { TIMEOUT_MS = 5000 };

static struct redis_server server;
static struct redis_refusal why;

static int setup(void **state)
{
    (void)state;
    redis_server_start(&server, "swordfish");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    redis_server_release(&server);
    return 0;
}

static redisContext *connect_as(const char *place, const struct key_space *keys, bool look)
{
    char text[128];
    struct redis_url url;
    struct redis_sync_spec spec = {.url = &url, .keys = keys, .name = "tester", .timeout_ms = TIMEOUT_MS, .look = look};
    struct redis_place found;
    redisContext *ctx;
    bool cluster;
    assert_int_equal(redis_url_parse(redis_server_url(&server, place, text), &url, why.text, sizeof why.text), 0);
    *why.text = '\0';
    ctx = redis_sync_find(&spec, &found, &cluster, &why);
    assert_false(cluster);
    redis_url_release(&url);
    return ctx;
}

static redisContext *connect_to(const char *place)
{
    return connect_as(place, NULL, false);
}

static void test_says_hello(void **state)
{
    redisContext *ctx = connect_to("redis://:swordfish@127.0.0.1:PORT/4");
    redisReply *reply;
    (void)state;
    assert_non_null(ctx);
    reply = redisCommand(ctx, "CLIENT INFO");
    assert_non_null(reply);
    assert_non_null(strstr(reply->str, " name=tester "));
    assert_non_null(strstr(reply->str, " db=4 "));
    freeReplyObject(reply);
    reply = redisCommand(ctx, "FCALL " REDIS_FUNCTION("rf_fill") " 1 no-such-call");
    assert_non_null(reply);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_string_equal(reply->element[0]->str, "GONE");
    freeReplyObject(reply);
    redisFree(ctx);
}

static void test_wrong_password(void **state)
{
    (void)state;
    assert_null(connect_to("redis://:sworDfish@127.0.0.1:PORT"));
    assert_non_null(strstr(why.text, "Redis refused AUTH: WRONGPASS"));
    assert_null(strstr(why.text, "sworDfish"));
}

static void test_no_password(void **state)
{
    (void)state;
    assert_null(connect_to("redis://127.0.0.1:PORT"));
    assert_non_null(strstr(why.text, "NOAUTH"));
}

static void test_nobody_listens(void **state)
{
    (void)state;
    redis_server_kill(&server);
    assert_null(connect_to("redis://127.0.0.1:PORT"));
    assert_non_null(strstr(why.text, "cannot connect to Redis: Connection refused"));
    redis_server_start(&server, "swordfish");
}

/* When memory is full the flusher must still get in: it is the one who frees it. */
static void test_memory_full(void **state)
{
    redisContext *ctx = connect_to("redis://:swordfish@127.0.0.1:PORT");
    (void)state;
    assert_non_null(ctx);
    redisFree(ctx);
    redis_server_do(&server, "swordfish", "CONFIG SET maxmemory 1");
    ctx = connect_to("redis://:swordfish@127.0.0.1:PORT");
    if (!ctx)
        fail_msg("%s", why.text);
    redisFree(ctx);
    redis_server_do(&server, "swordfish", "CONFIG SET maxmemory 0");
}

/* The kernel takes the connection, and nobody ever begins TLS on it. */
static void test_a_server_that_says_nothing(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    static const char *const schemes[] = {"rediss", "rediss+sentinel"};
    struct redis_url url;
    struct redis_sync_spec spec = {.url = &url, .name = "tester", .timeout_ms = 100};
    struct redis_place found;
    bool cluster;
    int silent;
    (void)state;
    if (!redis_tls_built())
        skip();
    silent = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(silent, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(silent, 4), 0);
    assert_int_equal(getsockname(silent, (struct sockaddr *)&in, &len), 0);
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        char text[64];
        snprintf(text, sizeof text, "%s://127.0.0.1:%d%s", schemes[i], ntohs(in.sin_port), i > 0 ? "/m" : "");
        assert_int_equal(redis_url_parse(text, &url, why.text, sizeof why.text), 0);
        assert_null(redis_sync_find(&spec, &found, &cluster, &why));
        redis_url_release(&url);
    }
    close(silent);
}

static bool fits(const struct key_space *keys, bool look)
{
    redisContext *ctx = connect_as("redis://:swordfish@127.0.0.1:PORT", keys, look);
    assert_true(ctx || why.misfit);
    if (ctx)
        redisFree(ctx);
    return ctx != NULL;
}

/* Who only looks does not say how many there are. */
static void test_partitions(void **state)
{
    const struct key_space four = {"rf", 4}, sixteen = {"rf", 16}, other_fleet = {"other", 1};
    (void)state;
    assert_true(fits(&four, true));
    assert_true(fits(&sixteen, false));
    assert_false(fits(&four, false));
    assert_non_null(strstr(why.text, "RINGFLEET_PARTITIONS is 4"));
    assert_false(fits(&four, true));
    assert_true(fits(&sixteen, true));
    assert_true(fits(&other_fleet, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_hello),     cmocka_unit_test(test_wrong_password),
        cmocka_unit_test(test_no_password),    cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_memory_full),    cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_a_server_that_says_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
