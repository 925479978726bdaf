#include "flusher/batch.h"

#include <stdio.h>
#include <string.h>

#include "common/redis/functions.h"
#include "flusher/handover.h"

/* Calls that one rf_done looks after: Redis does nothing else meanwhile. */
enum { DONE_CALLS = 50, DONE_KEYS = 3, DONE_ARGS = 4 };

/* One FCALL rf_done, under construction: its words, and the room they stand in. */
struct done {
    const char *argv[8 + DONE_CALLS * (DONE_KEYS + DONE_ARGS)];
    char names[3][KEY_SIZE], retention[2][24], key_count[12];
    char keys[DONE_CALLS][DONE_KEYS][KEY_SIZE];
    char ids[DONE_CALLS][DONE_KEYS][STREAM_ID_SIZE];
    const struct flush_call *calls[DONE_CALLS];
    size_t count;
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
        d->argv[argc++] = stream_id_format(d->ids[i][1], batch_last_read(call, STREAM_WRITES));
        d->argv[argc++] = stream_id_format(d->ids[i][2], batch_last_read(call, STREAM_EVENTS));
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

/* The answers to what send_partition sent: a word for each call, in the same order. */
static bool take_partition(struct flush_call *calls, size_t count, int partition, redisContext *redis,
                           const struct key_space *keys)
{
    redisReply *words = NULL;
    size_t at = 0;
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        if (keys->partitions > 1 && key_partition(keys, calls[i].sid) != partition)
            continue;
        if (!words || at == words->elements) {
            freeReplyObject(words);
            words = redis_next(redis);
            at = 0;
        }
        ok = words && words->type == REDIS_REPLY_ARRAY && at < words->elements;
        calls[i].lacks_end = ok && strcmp(words->element[at++]->str, "LACKS") == 0;
    }
    freeReplyObject(words);
    return ok;
}

bool batch_done(struct flush_call *calls, size_t count, redisContext *redis, const struct key_space *keys,
                const struct batch_retention *retention)
{
    struct done d = {.count = 0};
    bool ok = true;
    for (int p = 0; p < keys->partitions && ok; p++)
        ok = send_partition(&d, calls, count, p, redis, keys, retention);
    for (int p = 0; p < keys->partitions && ok; p++)
        ok = take_partition(calls, count, p, redis, keys);
    return ok;
}
