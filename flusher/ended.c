#include "flusher/ended.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "flusher/handover.h"

enum { CURSOR_SIZE = STREAM_ID_SIZE, READ_ARGS = 9, NUMBER_SIZE = 24 };

#define SILENT_MS "3600000"
#define ALL_READ ">" /* as XREADGROUP has it: what is new */

struct ended {
    const struct key_space *keys;
    const char *consumer;
    char count[NUMBER_SIZE], claim_idle_ms[NUMBER_SIZE];
    metric_value *groups_made;
    char (*names)[KEY_SIZE];      /* per partition: key of its index */
    char (*cursors)[CURSOR_SIZE]; /* per partition: where XAUTOCLAIM goes on */
    char (*own)[CURSOR_SIZE];     /* per partition: what we hold was read up to here; ALL_READ: all of it */
    bool *asked;                  /* per shard: for new calls, since something was taken over */
    const char **argv;
    redisReply **replies;
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
    e->asked = calloc(partitions, sizeof *e->asked);
    e->replies = calloc(partitions, sizeof(redisReply *));
    if (!e->names || !e->cursors || !e->own || !e->asked || !e->argv || !e->replies) {
        ended_free(e);
        return NULL;
    }
    for (int p = 0; p < keys->partitions; p++) {
        key_of_partition(e->names[p], keys, KEY_ENDED, p);
        snprintf(e->cursors[p], CURSOR_SIZE, "0-0");
        e->asked[p] = true;
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
    free(ended->asked);
    free(ended->argv);
    free(ended->replies);
    free(ended);
}

void ended_list_release(struct ended_list *list)
{
    free(list->entries);
    memset(list, 0, sizeof *list);
}

static void rewind_partition(struct ended *e, int p)
{
    snprintf(e->own[p], CURSOR_SIZE, "0-0");
}

void ended_rewind(struct ended *ended)
{
    for (int p = 0; p < ended->keys->partitions; p++)
        rewind_partition(ended, p);
}

/* -- groups ----------------------------------------------------------------------------------- */

static bool is_error(const redisReply *reply, const char *code)
{
    return reply->type == REDIS_REPLY_ERROR && strncmp(reply->str, code, strlen(code)) == 0;
}

/* The group begins at 0, so that what was indexed before it was made (or made again) is found. With
 * full memory Redis refuses to make one; then it is most likely there. */
static bool make_groups(struct ended *e, const struct redis_shard *shard)
{
    bool ok = true;
    for (int i = 0; i < shard->count && ok; i++) {
        redisReply *reply = redisCommand(shard->redis, "XGROUP CREATE %s %s 0 MKSTREAM",
                                         e->names[shard->partitions[i]], FLUSHER_GROUP);
        ok = reply && (reply->type != REDIS_REPLY_ERROR || is_error(reply, "BUSYGROUP") || is_error(reply, "OOM"));
        if (ok && reply->type != REDIS_REPLY_ERROR)
            metric_add(e->groups_made, 1);
        if (!ok)
            log_error(NULL, "no consumer group", log_str("error", reply ? reply->str : shard->redis->errstr));
        freeReplyObject(reply);
    }
    return ok;
}

/* -- reading ---------------------------------------------------------------------------------- */

/* What we hold of these partitions was all read: new entries may be waited for. */
static bool all_read(const struct ended *e, const struct redis_shard *shard)
{
    bool all = true;
    for (int i = 0; i < shard->count; i++)
        all = all && strcmp(e->own[shard->partitions[i]], ALL_READ) == 0;
    return all;
}

static bool append_read(struct ended *e, redisContext *redis, const int *partitions, int count, const char *block)
{
    int n = 0;
    e->argv[n++] = "XREADGROUP";
    e->argv[n++] = "GROUP";
    e->argv[n++] = FLUSHER_GROUP;
    e->argv[n++] = e->consumer;
    e->argv[n++] = "COUNT";
    e->argv[n++] = e->count;
    if (block) {
        e->argv[n++] = "BLOCK";
        e->argv[n++] = block;
    }
    e->argv[n++] = "STREAMS";
    for (int i = 0; i < count; i++)
        e->argv[n++] = e->names[partitions[i]];
    for (int i = 0; i < count; i++)
        e->argv[n++] = e->own[partitions[i]];
    return redisAppendCommandArgv(redis, n, e->argv, NULL) == REDIS_OK;
}

/* A server that has all reads all in one command, and may wait. Nodes of a cluster take one partition at a time; none
 * of those may keep the others waiting. Returns how many replies will come; -1: out of memory. */
static int append_reads(struct ended *e, const struct redis_shard *shard, int64_t block_ms)
{
    char block[NUMBER_SIZE];
    bool ok = true;
    snprintf(block, sizeof block, "%lld", (long long)block_ms);
    if (shard->alone)
        return append_read(e, shard->redis, shard->partitions, shard->count, all_read(e, shard) ? block : NULL) ? 1 : -1;
    for (int i = 0; i < shard->count && ok; i++)
        ok = append_read(e, shard->redis, &shard->partitions[i], 1, NULL);
    return ok ? shard->count : -1;
}

static void forget_replies(struct ended *e)
{
    for (int i = 0; i < e->keys->partitions; i++) {
        freeReplyObject(e->replies[i]);
        e->replies[i] = NULL;
    }
}

enum read { READ_DONE, READ_NO_GROUP, READ_FAILED };

/* All replies are taken before anything else is asked. */
static enum read read_shard(struct ended *e, const struct redis_shard *shard, int64_t block_ms)
{
    int count = append_reads(e, shard, block_ms);
    enum read result = count < 0 ? READ_FAILED : READ_DONE;
    for (int i = 0; i < count; i++) {
        void *reply = NULL;
        if (redisGetReply(shard->redis, &reply) != REDIS_OK) {
            log_warn(NULL, "cannot read the ended calls", log_str("error", shard->redis->errstr));
            return READ_FAILED;
        }
        e->replies[i] = reply;
        if (e->replies[i]->type != REDIS_REPLY_ERROR)
            continue;
        if (result != READ_FAILED && (is_error(reply, "NOGROUP") || is_error(reply, "UNBLOCKED"))) {
            result = READ_NO_GROUP;
            continue;
        }
        log_warn(NULL, "cannot read the ended calls", log_str("error", e->replies[i]->str));
        result = READ_FAILED;
    }
    return result;
}

/* Reads with groups that are there: an operator, or a server that came back empty, may have removed
 * them (also while we were waiting: UNBLOCKED). */
static bool read_surely(struct ended *e, const struct redis_shard *shard, int64_t block_ms)
{
    enum read result = read_shard(e, shard, block_ms);
    if (result == READ_NO_GROUP) {
        forget_replies(e);
        if (!make_groups(e, shard))
            return false;
        ended_rewind(e);
        result = read_shard(e, shard, block_ms);
    }
    return result == READ_DONE;
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
    for (int p = 0; p < e->keys->partitions; p++) {
        if (strcmp(e->names[p], name) != 0 || strcmp(e->own[p], ALL_READ) == 0)
            continue;
        snprintf(e->own[p], CURSOR_SIZE, "%s",
                 entries->elements > 0 ? entries->element[entries->elements - 1]->element[0]->str : ALL_READ);
    }
}

static bool take_stream(struct ended *e, redisContext *redis, const redisReply *stream, struct ended_list *list)
{
    const redisReply *entries = stream->element[1];
    advance(e, stream->element[0]->str, entries);
    for (size_t i = 0; i < entries->elements; i++) {
        if (!take_entry(e, redis, stream->element[0]->str, entries->element[i], list))
            return false;
    }
    return true;
}

static bool take_replies(struct ended *e, redisContext *redis, struct ended_list *list)
{
    size_t total = 0;
    for (int i = 0; i < e->keys->partitions; i++) {
        for (size_t s = 0; e->replies[i] && s < e->replies[i]->elements; s++) /* nil: nothing new came */
            total += e->replies[i]->element[s]->element[1]->elements;
    }
    list->entries = calloc(total + 1, sizeof *list->entries);
    if (!list->entries)
        return false;
    for (int i = 0; i < e->keys->partitions; i++) {
        for (size_t s = 0; e->replies[i] && s < e->replies[i]->elements; s++) {
            if (!take_stream(e, redis, e->replies[i]->element[s], list))
                return false;
        }
    }
    return true;
}

bool ended_read(struct ended *ended, const struct redis_shard *shard, int64_t block_ms, struct ended_list *list)
{
    bool ok, news = all_read(ended, shard);
    memset(list, 0, sizeof *list);
    ok = read_surely(ended, shard, block_ms) && take_replies(ended, shard->redis, list);
    ended->asked[shard->number] = ended->asked[shard->number] || (ok && news);
    forget_replies(ended);
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

int64_t ended_claim(struct ended *ended, const struct redis_shard *shard)
{
    int64_t total = 0;
    if (!ended->asked[shard->number])
        return 0;
    for (int i = 0; i < shard->count; i++) {
        int64_t claimed = claim_partition(ended, shard->redis, shard->partitions[i]);
        if (claimed < 0)
            return -1;
        total += claimed;
    }
    for (int i = 0; i < shard->count && total > 0; i++)
        rewind_partition(ended, shard->partitions[i]);
    ended->asked[shard->number] = total == 0;
    return total;
}

static bool forget(const struct ended *e, const struct redis_shard *shard, const char *idle_ms, const char *consumer)
{
    bool ok = true;
    for (int i = 0; i < shard->count && ok; i++)
        ok = handover_said(redis_ask(shard->redis, "FCALL " REDIS_FUNCTION("rf_forget") " 1 %s %s %s",
                                     e->names[shard->partitions[i]], idle_ms, consumer),
                           "FORGOT");
    return ok;
}

bool ended_leave(const struct ended *ended, const struct redis_shard *shard)
{
    return forget(ended, shard, "0", ended->consumer);
}

bool ended_forget_silent(const struct ended *ended, const struct redis_shard *shard)
{
    return forget(ended, shard, SILENT_MS, "");
}

bool ended_drop(const struct ended *ended, redisContext *redis, const struct ended_entry *entry)
{
    char id[STREAM_ID_SIZE];
    return drop(redis, ended->names[key_partition(ended->keys, entry->sid)], stream_id_format(id, entry->id));
}
