#include "flusher/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/handover.h"

/* Bounds what one read can take from Redis; a usual call has 40 entries. */
#define PAGE_ENTRIES "1000"
enum { PAGE_ENTRIES_COUNT = 1000 };

static const enum key_kind journal_keys[STREAM_COUNT] = {KEY_WRITES, KEY_EVENTS};

static bool append_read(const struct flush_call *call, redisContext *redis, const struct key_space *keys)
{
    char key[KEY_SIZE], id[STREAM_ID_SIZE];
    if (redisAppendCommand(redis, "ZSCORE %s %s", key_of_call(key, keys, KEY_LIVE, call->sid), call->sid) != REDIS_OK)
        return false;
    for (int s = 0; s < STREAM_COUNT; s++) {
        bool from_start = call->after[s].hi == 0 && call->after[s].lo == 0;
        key_of_call(key, keys, journal_keys[s], call->sid);
        stream_id_format(id, call->after[s]);
        if (redisAppendCommand(redis, from_start ? "XRANGE %s - + COUNT " PAGE_ENTRIES
                                                 : "XRANGE %s (%s + COUNT " PAGE_ENTRIES, key, id) != REDIS_OK)
            return false;
    }
    return true;
}

static bool take_time(redisContext *redis, int64_t *now_ms)
{
    redisReply *reply = redis_next(redis);
    bool ok = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2;
    if (ok)
        *now_ms = strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return ok;
}

static bool take_live(redisContext *redis, int64_t now_ms, bool *live)
{
    redisReply *reply = redis_next(redis);
    *live = reply && reply->type == REDIS_REPLY_STRING && strtoll(reply->str, NULL, 10) > now_ms;
    freeReplyObject(reply);
    return reply != NULL;
}

static void drop_page(struct flush_call *call)
{
    for (int s = 0; s < STREAM_COUNT; s++) {
        journal_release(&call->journals[s]);
        freeReplyObject(call->replies[s]);
        call->replies[s] = NULL;
    }
}

static bool take_call(struct flush_call *call, redisContext *redis, int64_t now_ms)
{
    bool ok = take_live(redis, now_ms, &call->live);
    drop_page(call);
    call->more = false;
    for (int s = 0; s < STREAM_COUNT && ok; s++) {
        call->replies[s] = redis_next(redis);
        ok = call->replies[s] && journal_read(call->replies[s], (enum journal_stream)s, &call->journals[s]);
        call->more = call->more || call->journals[s].count == PAGE_ENTRIES_COUNT;
    }
    return ok;
}

bool batch_read(struct flush_call *calls, size_t count, redisContext *redis, const struct key_space *keys,
                int64_t *now_ms)
{
    bool ok = redisAppendCommand(redis, "TIME") == REDIS_OK;
    for (size_t i = 0; i < count && ok; i++)
        ok = append_read(&calls[i], redis, keys);
    ok = ok && take_time(redis, now_ms);
    for (size_t i = 0; i < count && ok; i++)
        ok = take_call(&calls[i], redis, *now_ms);
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

static bool append_done(const struct flush_call *call, redisContext *redis, const struct key_space *keys,
                        const char *retention_ms, const char *final_wait_ms)
{
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_WRITES, KEY_EVENTS, KEY_ENDED, KEY_FLUSHED, KEY_LIVE};
    char index_id[STREAM_ID_SIZE], writes_id[STREAM_ID_SIZE], events_id[STREAM_ID_SIZE];
    const char *const args[] = {
        stream_id_format(index_id, call->index_id), stream_id_format(writes_id, last_read(call, STREAM_WRITES)),
        stream_id_format(events_id, last_read(call, STREAM_EVENTS)), retention_ms, final_wait_ms};
    return handover_append(redis, keys, "rf_done", kinds, ARRAY_LEN(kinds), call->sid, args, ARRAY_LEN(args));
}

bool batch_done(const struct flush_call *calls, size_t count, redisContext *redis, const struct key_space *keys,
                int64_t retention_seconds, int64_t final_wait_seconds)
{
    char retention_ms[24], final_wait_ms[24];
    bool ok = true;
    snprintf(retention_ms, sizeof retention_ms, "%lld", (long long)retention_seconds * 1000);
    snprintf(final_wait_ms, sizeof final_wait_ms, "%lld", (long long)final_wait_seconds * 1000);
    for (size_t i = 0; i < count && ok; i++)
        ok = append_done(&calls[i], redis, keys, retention_ms, final_wait_ms);
    for (size_t i = 0; i < count && ok; i++) {
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
