/* Appends through the worker's journal, on its event loop, beside bare hiredis: the same entries to the same
 * streams, as many under way.
 *
 *   bench_journal journal|raw PORT DEPTH ENTRIES
 *
 * Prints how many a second. */
#include "worker/journal/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "common/base/clock.h"

enum { CALLS = 2000 };

static struct worker w;
static struct worker_config config = {.lease_seconds = 15};
static struct journal journals[CALLS];
static char sids[CALLS][CALL_SID_SIZE];
static bool up;

static const char *const turn[] = {"caller",        "I would like to come by on Thursday at ten, if that is at all possible for you.",
                                   "",              "1700000000000",
                                   "1700000002500", "0"};

static void die(const char *what)
{
    fprintf(stderr, "bench: %s\n", what);
    exit(1);
}

static void answered(redisContext *redis)
{
    void *reply = NULL;
    if (redisGetReply(redis, &reply) != REDIS_OK || ((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        die("Redis does not take an entry");
    freeReplyObject(reply);
}

/* The streams, each with its owner's entry, as rf_claim leaves them. */
static redisContext *prepare(int port)
{
    redisContext *redis = redisConnect("127.0.0.1", port);
    char key[KEY_SIZE];
    if (!redis || redis->err)
        die("Redis is not there");
    for (int i = 0; i < CALLS; i++) {
        snprintf(sids[i], sizeof sids[i], "CA%032d", i);
        redisAppendCommand(redis, "XADD %s 1-1 type callsession_update", key_of_call(key, &w.keys, KEY_WRITES, sids[i]));
    }
    for (int i = 0; i < CALLS; i++)
        answered(redis);
    return redis;
}

/* ---- bare ---- */

static void append_raw(redisContext *redis, int n)
{
    const struct journal_type_row *row = &journal_types[JOURNAL_TURN];
    char key[KEY_SIZE], id[STREAM_ID_SIZE], at[24];
    const char *argv[10 + 2 * JOURNAL_FIELDS_MAX] = {"XADD", key, "NOMKSTREAM", id, "type", "turn", "by", "worker", "at", at};
    int argc = 10;
    key_of_call(key, &w.keys, KEY_WRITES, sids[n % CALLS]);
    stream_id_format(id, (struct stream_id){1, (uint64_t)(n / CALLS + 2)});
    snprintf(at, sizeof at, "%lld", (long long)clock_wall_ms());
    for (int i = 0; i < row->field_count; i++) {
        argv[argc++] = row->fields[i];
        argv[argc++] = turn[i];
    }
    redisAppendCommandArgv(redis, argc, argv, NULL);
}

static void run_raw(redisContext *redis, int depth, int entries)
{
    for (int sent = 0; sent < entries; sent += depth) {
        int batch = entries - sent < depth ? entries - sent : depth;
        for (int i = 0; i < batch; i++)
            append_raw(redis, sent + i);
        for (int i = 0; i < batch; i++)
            answered(redis);
    }
}

/* ---- the worker's ---- */

static void on_up(void *arg)
{
    (void)arg;
    up = true;
}

static void on_outcome(void *arg, enum journal_outcome outcome)
{
    (void)arg, (void)outcome;
    die("a journal came to an end");
}

static void connect_worker(int port)
{
    static struct redis_url url;
    char text[64], error[128];
    snprintf(text, sizeof text, "redis://127.0.0.1:%d", port);
    if (redis_url_parse(text, &url, error, sizeof error) != 0)
        die(error);
    w.base = event_base_new();
    w.resolver = resolver_new(w.base);
    w.redis = redis_async_new(&(struct redis_async_spec){.base = w.base, .resolver = w.resolver, .url = &url, .name = "bench",
                                                         .on_up = on_up});
    while (!up)
        event_base_loop(w.base, EVLOOP_ONCE);
    for (int i = 0; i < CALLS; i++)
        journal_init(&journals[i], &w, sids[i], "MZ1", 1, 1, on_outcome, NULL);
}

static void run_journal(int depth, int entries)
{
    for (int sent = 0, done = 0; done < entries; done = (int)metric_get(&w.metrics.journal_appended)) {
        for (; sent < entries && sent - done < depth; sent++)
            journal_append(&journals[sent % CALLS], JOURNAL_TURN, turn);
        event_base_loop(w.base, EVLOOP_ONCE);
    }
}

int main(int argc, char **argv)
{
    static char prefix[] = "rf";
    int port = argc == 5 ? atoi(argv[2]) : 0, depth = port ? atoi(argv[3]) : 0, entries = port ? atoi(argv[4]) : 0;
    bool raw = port && strcmp(argv[1], "raw") == 0;
    redisContext *redis;
    int64_t began_us;
    if (depth < 1 || depth > CALLS || entries < 1)
        die("usage: bench_journal journal|raw PORT DEPTH ENTRIES");
    w.config = &config;
    w.keys = (struct key_space){prefix, 1};
    redis = prepare(port);
    if (!raw)
        connect_worker(port);
    began_us = clock_mono_us();
    if (raw)
        run_raw(redis, depth, entries);
    else
        run_journal(depth, entries);
    printf("%.0f\n", entries * 1e6 / (double)(clock_mono_us() - began_us));
    return 0;
}
