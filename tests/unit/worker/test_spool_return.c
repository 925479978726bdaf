/* A spool file goes to the primary that the Sentinels name now, not to the one that they named for the last file. */
#include "worker/spool/return.h"

#include <signal.h>

#include "tests/unit/common/redis_sentinel.h"
#include "tests/unit/common/redis_server.h"
#include "tests/unit/unit.h"
#include "worker/spool/record.h"

#define TEXT(s) {s, sizeof(s) - 1}
#define SID "CA00000000000000000000000000000001"

static struct redis_server first, second;
static struct redis_sentinel sentinels[3];

static size_t put(uint8_t *bytes, size_t len, const struct spool_record *record)
{
    spool_record_write(record, bytes + len);
    return len + spool_record_size(record);
}

/* One entry of a call that has left Redis: it is for the dead stream. */
static size_t make_file(uint8_t bytes[1024])
{
    const struct spool_record owner = {SPOOL_OWNER, 4, {TEXT("rf"), TEXT(SID), TEXT("MZ1"), TEXT("worker-1")}};
    const struct spool_record entry = {SPOOL_ENTRY, 4, {TEXT("1"), TEXT("1"), TEXT("type"), TEXT("turn")}};
    spool_head_write(bytes);
    return put(bytes, put(bytes, SPOOL_HEAD_SIZE, &owner), &entry);
}

static void name(const struct redis_server *primary)
{
    for (int i = 0; i < 3; i++) {
        if (sentinels[i].pid)
            redis_sentinel_kill(&sentinels[i]);
        redis_sentinel_start(&sentinels[i], primary->port);
    }
}

static long long letters(const struct redis_server *server)
{
    redisContext *ctx = redisConnect("127.0.0.1", server->port);
    redisReply *reply = redisCommand(ctx, "XLEN rf:{p0}:dead");
    long long count = reply->integer;
    freeReplyObject(reply);
    redisFree(ctx);
    return count;
}

static void test_a_primary_that_was_replaced_is_given_nothing(void **state)
{
    const struct key_space keys = {"rf", 1};
    struct spool_return *r;
    struct spool_tally tally;
    struct redis_url url;
    uint8_t bytes[1024];
    size_t len = make_file(bytes);
    char text[128], why[256];
    (void)state;
    redis_server_start(&first, NULL);
    redis_server_start(&second, NULL);
    name(&first);
    assert_int_equal(redis_url_parse(redis_sentinel_url(sentinels, 0, text), &url, why, sizeof why), 0);
    r = spool_return_new(&url, &keys);
    assert_non_null(r);
    assert_int_equal(spool_return_file(r, bytes, len, &tally, why), SPOOL_DONE);
    assert_int_equal(letters(&first), 1);
    name(&second);
    assert_int_equal(spool_return_file(r, bytes, len, &tally, why), SPOOL_LATER); /* one says so */
    assert_string_equal(why, "the Sentinels name another primary");
    assert_true(spool_return_due(r));
    assert_int_equal(spool_return_file(r, bytes, len, &tally, why), SPOOL_LATER); /* two do */
    assert_int_equal(spool_return_file(r, bytes, len, &tally, why), SPOOL_DONE);
    assert_int_equal(letters(&first), 1);
    assert_int_equal(letters(&second), 1);
    spool_return_free(r);
    redis_url_release(&url);
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++)
        redis_sentinel_kill(&sentinels[i]);
    redis_server_release(&first);
    redis_server_release(&second);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_primary_that_was_replaced_is_given_nothing),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, teardown);
}
