#include "flusher/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/functions.h"
#include "flusher/handover.h"

/* What one read may take from Redis: so many entries in all, and of each journal no fewer than the first and no
 * more than the second number. A usual call has 40. */
enum { READ_ENTRIES = 50000, PAGE_MIN = 100, PAGE_MAX = 1000 };

/* Calls that one rf_done looks after: Redis does nothing else meanwhile. */
enum { DONE_CALLS = 50, DONE_KEYS = 3, DONE_ARGS = 4 };

static const enum key_kind journal_keys[STREAM_COUNT] = {KEY_WRITES, KEY_EVENTS};

static int page_entries(size_t calls)
{
    size_t each = READ_ENTRIES / (calls ? calls : 1);
    return each < PAGE_MIN ? PAGE_MIN : each > PAGE_MAX ? PAGE_MAX : (int)each;
}

static bool append_read(const struct flush_call *call, int page, redisContext *redis, const struct key_space *keys)
{
    char key[KEY_SIZE], id[STREAM_ID_SIZE];
    if (redisAppendCommand(redis, "ZSCORE %s %s", key_of_call(key, keys, KEY_LIVE, call->sid), call->sid) != REDIS_OK)
        return false;
    for (int s = 0; s < STREAM_COUNT; s++) {
        bool from_start = call->after[s].hi == 0 && call->after[s].lo == 0;
        key_of_call(key, keys, journal_keys[s], call->sid);
        stream_id_format(id, call->after[s]);
        if (redisAppendCommand(redis, "XRANGE %s %s%s + COUNT %d", key, from_start ? "-" : "(", from_start ? "" : id,
                               page) != REDIS_OK)
            return false;
    }
    return true;
}

/* The replies below live in the arena. */

static bool take_time(redisContext *redis, int64_t *now_ms)
{
    const redisReply *reply = redis_next(redis);
    bool ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (ok)
        *now_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
    return ok;
}

static bool take_live(redisContext *redis, int64_t now_ms, bool *live)
{
    const redisReply *reply = redis_next(redis);
    *live = reply && reply->type == REDIS_REPLY_STRING && strtoll(reply->str, NULL, 10) > now_ms;
    return reply != NULL;
}

static void drop_page(struct flush_call *call)
{
    for (int s = 0; s < STREAM_COUNT; s++)
        journal_release(&call->journals[s]);
}

static bool take_call(struct flush_call *call, int page, redisContext *redis, int64_t now_ms)
{
    bool ok = take_live(redis, now_ms, &call->live);
    call->more = false;
    for (int s = 0; s < STREAM_COUNT && ok; s++) {
        const redisReply *reply = redis_next(redis);
        ok = reply && journal_read(reply, (enum journal_stream)s, &call->journals[s]);
        call->more = call->more || call->journals[s].count == (size_t)page;
    }
    return ok;
}

bool batch_read(struct flush_call *calls, size_t count, redisContext *redis, struct reply_arena *arena,
                const struct key_space *keys, int64_t *now_ms)
{
    int page = page_entries(count);
    bool ok = redisAppendCommand(redis, "TIME") == REDIS_OK;
    for (size_t i = 0; i < count; i++) {
        drop_page(&calls[i]);
        ok = ok && append_read(&calls[i], page, redis, keys);
    }
    reply_arena_begin(arena, redis);
    ok = ok && take_time(redis, now_ms);
    for (size_t i = 0; i < count && ok; i++)
        ok = take_call(&calls[i], page, redis, *now_ms);
    reply_arena_end(arena, redis);
    return ok;
}

static struct stream_id last_read(const struct flush_call *call, enum journal_stream s)
{
    return call->journals[s].count > 0 ? call->journals[s].last : call->after[s];
}

void batch_turn_page(struct flush_call *call)
{
    for (int s = 0; s < STREAM_COUNT; s++)
        call->after[s] = last_read(call, (enum journal_stream)s);
}

/* One FCALL rf_done, under construction: its words, and the room they stand in. */
struct done {
    const char *argv[8 + DONE_CALLS * (DONE_KEYS + DONE_ARGS)];
    char names[3][KEY_SIZE], retention[2][24], key_count[12];
    char keys[DONE_CALLS][DONE_KEYS][KEY_SIZE];
    char ids[DONE_CALLS][DONE_KEYS][STREAM_ID_SIZE];
    const struct flush_call *calls[DONE_CALLS];
    size_t count, sent;
};

static const char *millis(char out[24], int64_t seconds)
{
    snprintf(out, 24, "%lld", (long long)seconds * 1000);
    return out;
}

static int put_done_keys(struct done *d, const struct key_space *keys, int argc)
{
    static const enum key_kind shared[] = {KEY_ENDED, KEY_FLUSHED, KEY_LIVE};
    static const enum key_kind own[DONE_KEYS] = {KEY_SESSION, KEY_WRITES, KEY_EVENTS};
    for (size_t i = 0; i < ARRAY_LEN(shared); i++)
        d->argv[argc++] = key_of_call(d->names[i], keys, shared[i], d->calls[0]->sid);
    for (size_t i = 0; i < d->count; i++) {
        for (int k = 0; k < DONE_KEYS; k++)
            d->argv[argc++] = key_of_call(d->keys[i][k], keys, own[k], d->calls[i]->sid);
    }
    return argc;
}

static int put_done_args(struct done *d, const struct batch_retention *retention, int argc)
{
    d->argv[argc++] = millis(d->retention[0], retention->seconds);
    d->argv[argc++] = millis(d->retention[1], retention->final_wait_seconds);
    for (size_t i = 0; i < d->count; i++) {
        const struct flush_call *call = d->calls[i];
        d->argv[argc++] = call->sid;
        d->argv[argc++] = stream_id_format(d->ids[i][0], call->index_id);
        d->argv[argc++] = stream_id_format(d->ids[i][1], last_read(call, STREAM_WRITES));
        d->argv[argc++] = stream_id_format(d->ids[i][2], last_read(call, STREAM_EVENTS));
    }
    return argc;
}

static bool send_done(struct done *d, redisContext *redis, const struct key_space *keys,
                      const struct batch_retention *retention)
{
    int argc = 0;
    if (d->count == 0)
        return true;
    snprintf(d->key_count, sizeof d->key_count, "%zu", 3 + DONE_KEYS * d->count);
    d->argv[argc++] = "FCALL";
    d->argv[argc++] = REDIS_FUNCTION("rf_done");
    d->argv[argc++] = d->key_count;
    argc = put_done_keys(d, keys, argc);
    argc = put_done_args(d, retention, argc);
    d->count = 0;
    d->sent++;
    return redisAppendCommandArgv(redis, argc, d->argv, NULL) == REDIS_OK;
}

/* The calls of one partition share their keys' slot, so they go together. */
static bool send_partition(struct done *d, const struct flush_call *calls, size_t count, int partition,
                           redisContext *redis, const struct key_space *keys, const struct batch_retention *retention)
{
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (keys->partitions > 1 && key_partition(keys, calls[i].sid) != partition)
            continue;
        d->calls[d->count++] = &calls[i];
        if (d->count == DONE_CALLS)
            ok = send_done(d, redis, keys, retention);
    }
    return ok && send_done(d, redis, keys, retention);
}

bool batch_done(const struct flush_call *calls, size_t count, redisContext *redis, const struct key_space *keys,
                const struct batch_retention *retention)
{
    struct done d;
    bool ok = true;
    d.count = d.sent = 0;
    for (int p = 0; p < keys->partitions && ok && count > 0; p++)
        ok = send_partition(&d, calls, count, p, redis, keys, retention);
    for (size_t i = 0; i < d.sent && ok; i++) {
        redisReply *reply = redis_next(redis);
        ok = reply != NULL;
        freeReplyObject(reply);
    }
    return ok;
}

void batch_release(struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop_page(&calls[i]);
}
