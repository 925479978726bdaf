/* Files of workers that are gone: whoever looks brings its own fleet's back, past those that are not, and past one that
 * cannot be. */
#include "tests/unit/unit.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/common/redis_server.h"
#include "worker/spool/spool.h"
#include "worker/spool/store.h"

enum {
    STRANGERS = 300,
    OURS = 8,
    SECONDS = 20,
};

static const struct key_space keys = {"rf", 1};

struct fixture {
    struct redis_server server;
    struct redis_url url;
    struct spool *spool;
    char dir[64], paths[STRANGERS + OURS][SPOOL_PATH_SIZE];
    int files;
};

static struct spool_text text(const char *str)
{
    return (struct spool_text){str, strlen(str)};
}

static void append(int fd, int64_t *len, const struct spool_record *record)
{
    uint8_t bytes[1024];
    spool_record_write(record, bytes);
    assert_true(spool_store_append(fd, len, bytes, spool_record_size(record)));
}

/* One entry of a call; whoever wrote it is gone. */
static void leave_file(struct fixture *f, const char *prefix, const char *sid)
{
    const struct spool_record owner = {SPOOL_OWNER, 4, {text(prefix), text(sid), text("MZ1"), text("worker-0")}};
    const struct spool_record entry = {SPOOL_ENTRY, 4, {text("1"), text("1"), text("type"), text("turn")}};
    int64_t len = SPOOL_HEAD_SIZE;
    int fd = spool_store_create(f->dir, f->paths[f->files++]);
    assert_true(fd >= 0);
    append(fd, &len, &owner);
    append(fd, &len, &entry);
    close(fd);
}

static void leave_file_of(struct fixture *f, int call)
{
    char sid[CALL_SID_SIZE];
    snprintf(sid, sizeof sid, "CA%032d", call);
    leave_file(f, "rf", sid);
}

static void start_spool(struct fixture *f)
{
    f->spool = spool_new(&(struct spool_spec){.dir = f->dir, .max_bytes = 1 << 24, .url = &f->url, .keys = &keys,
                                              .worker = "worker-1"});
    assert_non_null(f->spool);
}

/* The calls have left Redis: their entries go to the dead stream. */
static void await_letters(const struct fixture *f, long long count)
{
    int64_t limit = clock_mono_ms() + SECONDS * 1000;
    redisContext *ctx = redisConnect("127.0.0.1", f->server.port);
    long long letters;
    do {
        redisReply *reply = redisCommand(ctx, "XLEN rf:{p0}:dead");
        letters = reply->integer;
        freeReplyObject(reply);
        usleep(2000);
    } while (letters < count && clock_mono_ms() < limit);
    redisFree(ctx);
    assert_int_equal(letters, count);
}

static int files_left(const struct fixture *f)
{
    int left = 0;
    for (int i = 0; i < f->files; i++)
        left += access(f->paths[i], F_OK) == 0;
    return left;
}

static int begin(void **state)
{
    static struct fixture f;
    char at[128], why[256];
    memset(&f, 0, sizeof f);
    redis_server_start(&f.server, NULL);
    snprintf(f.dir, sizeof f.dir, "%s/spool", f.server.dir);
    *state = &f;
    return redis_url_parse(redis_server_url(&f.server, "redis://127.0.0.1:PORT", at), &f.url, why, sizeof why);
}

static int end(void **state)
{
    struct fixture *f = *state;
    spool_free(f->spool);
    for (int i = 0; i < f->files; i++)
        unlink(f->paths[i]);
    redis_url_release(&f->url);
    redis_server_release(&f->server);
    return 0;
}

static void test_many_files_of_another_fleet_hide_none_of_ours(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < STRANGERS; i++)
        leave_file(f, "other", "CA00000000000000000000000000000001");
    for (int i = 0; i < OURS; i++)
        leave_file_of(f, i);
    start_spool(f);
    await_letters(f, OURS);
    spool_free(f->spool);
    f->spool = NULL;
    assert_int_equal(files_left(f), STRANGERS);
}

/* Redis refuses what is to be done for one call; a worker dies later. */
static void test_a_file_that_cannot_be_returned_hides_no_later_one(void **state)
{
    struct fixture *f = *state;
    redis_server_do(&f->server, NULL, "SET rf:{p0}:call:CA%032d:writes no-stream", 1);
    leave_file_of(f, 1);
    leave_file_of(f, 2);
    start_spool(f);
    await_letters(f, 1);
    leave_file_of(f, 3);
    await_letters(f, 2);
    redis_server_do(&f->server, NULL, "DEL rf:{p0}:call:CA%032d:writes", 1);
    await_letters(f, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_many_files_of_another_fleet_hide_none_of_ours, begin, end),
        cmocka_unit_test_setup_teardown(test_a_file_that_cannot_be_returned_hides_no_later_one, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
