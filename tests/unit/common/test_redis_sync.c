#include "common/redis/sync.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/common/loopback.h"
#include "tests/unit/common/redis_server.h"

enum { TIMEOUT_MS = 5000 };

static struct redis_server server;
static char error[256];

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

static redisContext *connect_to(const char *place)
{
    char text[128];
    struct redis_url url;
    redisContext *ctx;
    assert_int_equal(redis_url_parse(redis_server_url(&server, place, text), &url, error, sizeof error), 0);
    *error = '\0';
    ctx = redis_sync_connect(&url, "tester", TIMEOUT_MS, error, sizeof error);
    redis_url_release(&url);
    return ctx;
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
    reply = redisCommand(ctx, "FCALL rf_fill 1 no-such-call");
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
    assert_non_null(strstr(error, "Redis refused AUTH: WRONGPASS"));
    assert_null(strstr(error, "sworDfish"));
}

static void test_no_password(void **state)
{
    (void)state;
    assert_null(connect_to("redis://127.0.0.1:PORT"));
    assert_non_null(strstr(error, "NOAUTH"));
}

static void test_nobody_listens(void **state)
{
    (void)state;
    redis_server_kill(&server);
    assert_null(connect_to("redis://127.0.0.1:PORT"));
    assert_non_null(strstr(error, "cannot connect to Redis: Connection refused"));
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
        fail_msg("%s", error);
    redisFree(ctx);
    redis_server_do(&server, "swordfish", "CONFIG SET maxmemory 0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_says_hello),     cmocka_unit_test(test_wrong_password),
        cmocka_unit_test(test_no_password),    cmocka_unit_test(test_nobody_listens),
        cmocka_unit_test(test_memory_full),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
