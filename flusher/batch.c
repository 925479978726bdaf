#include "flusher/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/handover.h"

/* What one read may take from Redis: so many entries in all, and of each journal no fewer than the first and no
 * more than the second number. A usual call has 40. */
enum { READ_ENTRIES = 50000, PAGE_MIN = 100, PAGE_MAX = 1000 };

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

struct stream_id batch_last_read(const struct flush_call *call, enum journal_stream s)
{
    return call->journals[s].count > 0 ? call->journals[s].last : call->after[s];
}

void batch_turn_page(struct flush_call *call)
{
    for (int s = 0; s < STREAM_COUNT; s++)
        call->after[s] = batch_last_read(call, (enum journal_stream)s);
}

void batch_release(struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        drop_page(&calls[i]);
}
