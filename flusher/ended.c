#include "flusher/ended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "flusher/handover.h"

enum { CURSOR_SIZE = STREAM_ID_SIZE, READ_ARGS = 9, NUMBER_SIZE = 24 };

#define SILENT_MS "3600000"

struct ended {
    const struct key_space *keys;
    const char *consumer;
    char count[NUMBER_SIZE], claim_idle_ms[NUMBER_SIZE];
    metric_value *groups_made;
    bool own_first;
    char (*names)[KEY_SIZE];      /* per partition: key of its index */
    char (*cursors)[CURSOR_SIZE]; /* per partition: where XAUTOCLAIM goes on */
    char (*own)[CURSOR_SIZE];     /* per partition: what we hold was read up to here */
    const char **argv;
};

struct ended *ended_new(const struct key_space *keys, const char *consumer, int64_t count, int64_t claim_idle_ms,
                        metric_value *groups_made)
{
    size_t partitions = (size_t)keys->partitions;
    struct ended *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    e->keys = keys;
    e->consumer = consumer;
    e->groups_made = groups_made;
    snprintf(e->count, sizeof e->count, "%lld", (long long)count);
    snprintf(e->claim_idle_ms, sizeof e->claim_idle_ms, "%lld", (long long)claim_idle_ms);
    e->names = calloc(partitions, sizeof *e->names);
    e->cursors = calloc(partitions, sizeof *e->cursors);
    e->argv = calloc(READ_ARGS + 2 * partitions, sizeof *e->argv);
    e->own = calloc(partitions, sizeof *e->own);
    if (!e->names || !e->cursors || !e->own || !e->argv) {
        ended_free(e);
        return NULL;
    }
    for (int p = 0; p < keys->partitions; p++) {
        key_of_partition(e->names[p], keys, KEY_ENDED, p);
        snprintf(e->cursors[p], CURSOR_SIZE, "0-0");
    }
    ended_rewind(e);
    return e;
}

void ended_free(struct ended *ended)
{
    if (!ended)
        return;
    free(ended->names);
    free(ended->cursors);
    free(ended->own);
    free(ended->argv);
    free(ended);
}

void ended_list_release(struct ended_list *list)
{
    free(list->entries);
    memset(list, 0, sizeof *list);
}

void ended_rewind(struct ended *ended)
{
    ended->own_first = true;
    for (int p = 0; p < ended->keys->partitions; p++)
        snprintf(ended->own[p], CURSOR_SIZE, "0-0");
}

/* -- groups ----------------------------------------------------------------------------------- */

static bool is_error(const redisReply *reply, const char *code)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, strlen(code)) == 0;
}

/* The group begins at 0, so that what was indexed before it was made (or made again) is found. With
 * full memory Redis refuses to make one; then it is most likely there. */
static bool make_groups(struct ended *e, redisContext *redis)
{
    bool ok = true;
    for (int p = 0; p < e->keys->partitions && ok; p++) {
        redisReply *reply = redisCommand(redis, "XGROUP CREATE %s %s 0 MKSTREAM", e->names[p], FLUSHER_GROUP);
        ok = reply && (reply->type != REDIS_REPLY_ERROR || is_error(reply, "BUSYGROUP") || is_error(reply, "OOM"));
        if (ok && reply->type != REDIS_REPLY_ERROR)
            metric_add(e->groups_made, 1);
        if (!ok)
            log_error(NULL, "no consumer group", log_str("error", reply ? reply->str : redis->errstr));
        freeReplyObject(reply);
    }
    return ok;
}

/* -- reading ---------------------------------------------------------------------------------- */

static redisReply *read_group(struct ended *e, redisContext *redis, int64_t block_ms)
{
    char block[NUMBER_SIZE];
    size_t partitions = (size_t)e->keys->partitions, n = 0;
    snprintf(block, sizeof block, "%lld", (long long)block_ms);
    e->argv[n++] = "XREADGROUP";
    e->argv[n++] = "GROUP";
    e->argv[n++] = FLUSHER_GROUP;
    e->argv[n++] = e->consumer;
    e->argv[n++] = "COUNT";
    e->argv[n++] = e->count;
    if (!e->own_first) {
        e->argv[n++] = "BLOCK";
        e->argv[n++] = block;
    }
    e->argv[n++] = "STREAMS";
    for (size_t p = 0; p < partitions; p++)
        e->argv[n++] = e->names[p];
    for (size_t p = 0; p < partitions; p++)
        e->argv[n++] = e->own_first ? e->own[p] : ">";
    return redisCommandArgv(redis, (int)n, e->argv, NULL);
}

/* Reads with groups that are there: an operator, or a server that came back empty, may have removed
 * them (also while we were waiting: UNBLOCKED). NULL: Redis failed. */
static redisReply *read_surely(struct ended *e, redisContext *redis, int64_t block_ms)
{
    redisReply *reply = read_group(e, redis, block_ms);
    if (reply && (is_error(reply, "NOGROUP") || is_error(reply, "UNBLOCKED"))) {
        freeReplyObject(reply);
        if (!make_groups(e, redis))
            return NULL;
        ended_rewind(e);
        reply = read_group(e, redis, block_ms);
    }
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    log_warn(NULL, "cannot read the ended calls", log_str("error", reply ? reply->str : redis->errstr));
    freeReplyObject(reply);
    return NULL;
}

static const char *sid_of(const redisReply *pairs)
{
    for (size_t i = 0; pairs->type == REDIS_REPLY_ARRAY && i + 1 < pairs->elements; i += 2) {
        if (strcmp(pairs->element[i]->str, "call_sid") == 0)
            return pairs->element[i + 1]->str;
    }
    return "";
}

/* Removed first: an entry that is acknowledged and still there would never be delivered again, while
 * one that is removed and still pending is found as such. (MULTI would do, but a full Redis refuses it.) */
static bool drop(redisContext *redis, const char *name, const char *id)
{
    redisReply *deleted = redis_ask(redis, "XDEL %s %s", name, id);
    redisReply *acked = deleted ? redis_ask(redis, "XACK %s %s %s", name, FLUSHER_GROUP, id) : NULL;
    bool ok = acked != NULL;
    freeReplyObject(deleted);
    freeReplyObject(acked);
    return ok;
}

/* Nothing of ours writes such an entry. It would come back for ever, so it goes, and the log keeps it. */
static bool drop_nonsense(redisContext *redis, const char *name, const char *id, const char *sid)
{
    log_error(NULL, "no call on the index; removed", log_str("index", name), log_str("entry", id),
              log_str("call_sid", sid));
    return drop(redis, name, id);
}

/* Whoever indexed the call counts partitions otherwise than we do: its journal is not where we would
 * look, so nothing may be acknowledged until the setting is put right. */
static bool refuse_partition(const struct ended *e, const char *name, const char *sid)
{
    log_error(sid, "another RINGFLEET_PARTITIONS was in force when this call ended; nothing is flushed until it is again",
              log_str("index", name), log_int("partitions", e->keys->partitions));
    return false;
}

/* One [id, [field, value, ...]] of the index called name. The body is nil when the entry was removed
 * while it was pending. */
static bool take_entry(struct ended *e, redisContext *redis, const char *name, const redisReply *reply,
                       struct ended_list *list)
{
    struct ended_entry *entry = &list->entries[list->count];
    const char *id = reply->element[0]->str, *sid = sid_of(reply->element[1]);
    if (reply->element[1]->type == REDIS_REPLY_NIL)
        return drop(redis, name, id);
    if (!call_sid_valid(sid) || !stream_id_parse(id, &entry->id))
        return drop_nonsense(redis, name, id, sid);
    if (strcmp(e->names[key_partition(e->keys, sid)], name) != 0)
        return refuse_partition(e, name, sid);
    memcpy(entry->sid, sid, strlen(sid) + 1);
    list->count++;
    return true;
}

/* The next read of what we hold goes on behind the last entry of this one; entries may stay there. */
static void advance(struct ended *e, const char *name, const redisReply *entries)
{
    for (int p = 0; p < e->keys->partitions && e->own_first && entries->elements > 0; p++) {
        if (strcmp(e->names[p], name) == 0)
            snprintf(e->own[p], CURSOR_SIZE, "%s", entries->element[entries->elements - 1]->element[0]->str);
    }
}

static bool take_streams(struct ended *e, redisContext *redis, const redisReply *reply, struct ended_list *list)
{
    size_t total = 0;
    for (size_t s = 0; s < reply->elements; s++)
        total += reply->element[s]->element[1]->elements;
    list->entries = calloc(total + 1, sizeof *list->entries);
    if (!list->entries)
        return false;
    for (size_t s = 0; s < reply->elements; s++) {
        const redisReply *stream = reply->element[s], *entries = stream->element[1];
        advance(e, stream->element[0]->str, entries);
        for (size_t i = 0; i < entries->elements; i++) {
            if (!take_entry(e, redis, stream->element[0]->str, entries->element[i], list))
                return false;
        }
    }
    if (total == 0)
        e->own_first = false; /* all that is held was read */
    return true;
}

bool ended_read(struct ended *ended, redisContext *redis, int64_t block_ms, struct ended_list *list)
{
    redisReply *reply;
    bool ok = true;
    memset(list, 0, sizeof *list);
    reply = read_surely(ended, redis, block_ms);
    if (!reply)
        return false;
    if (reply->type == REDIS_REPLY_ARRAY) /* nil: nothing new came */
        ok = take_streams(ended, redis, reply, list);
    freeReplyObject(reply);
    return ok;
}

/* -- taking over ------------------------------------------------------------------------------ */

/* JUSTID: they become ours, and the next read of our own gives their bodies. */
static int64_t claim_partition(struct ended *e, redisContext *redis, int p)
{
    redisReply *reply = redisCommand(redis, "XAUTOCLAIM %s %s %s %s %s COUNT %s JUSTID", e->names[p], FLUSHER_GROUP,
                                     e->consumer, e->claim_idle_ms, e->cursors[p], e->count);
    int64_t claimed = -1;
    if (reply && is_error(reply, "NOGROUP")) {
        claimed = 0; /* the next read makes it */
    } else if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2) {
        snprintf(e->cursors[p], CURSOR_SIZE, "%s", reply->element[0]->str);
        claimed = (int64_t)reply->element[1]->elements;
    }
    freeReplyObject(reply);
    return claimed;
}

int64_t ended_claim(struct ended *ended, redisContext *redis)
{
    int64_t total = 0;
    for (int p = 0; p < ended->keys->partitions; p++) {
        int64_t claimed = claim_partition(ended, redis, p);
        if (claimed < 0)
            return -1;
        total += claimed;
    }
    if (total > 0)
        ended_rewind(ended);
    return total;
}

int64_t ended_attempts(const struct ended *ended, redisContext *redis, const struct ended_entry *entry)
{
    char id[STREAM_ID_SIZE];
    redisReply *reply = redis_ask(redis, "XPENDING %s %s %s %s 1", ended->names[key_partition(ended->keys, entry->sid)],
                                  FLUSHER_GROUP, stream_id_format(id, entry->id), id);
    int64_t attempts = reply && reply->type == REDIS_REPLY_ARRAY ? 0 : -1;
    if (attempts == 0 && reply->elements == 1 && reply->element[0]->elements == 4)
        attempts = reply->element[0]->element[3]->integer;
    freeReplyObject(reply);
    return attempts;
}

static bool forget(const struct ended *e, redisContext *redis, const char *idle_ms, const char *consumer)
{
    bool ok = true;
    for (int p = 0; p < e->keys->partitions && ok; p++)
        ok = handover_said(redis_ask(redis, "FCALL " REDIS_FUNCTION("rf_forget") " 1 %s %s %s", e->names[p], idle_ms,
                                     consumer),
                           "FORGOT");
    return ok;
}

bool ended_leave(const struct ended *ended, redisContext *redis)
{
    return forget(ended, redis, "0", ended->consumer);
}

bool ended_forget_silent(const struct ended *ended, redisContext *redis)
{
    return forget(ended, redis, SILENT_MS, "");
}

bool ended_drop(const struct ended *ended, redisContext *redis, const struct ended_entry *entry)
{
    char id[STREAM_ID_SIZE];
    return drop(redis, ended->names[key_partition(ended->keys, entry->sid)], stream_id_format(id, entry->id));
}
