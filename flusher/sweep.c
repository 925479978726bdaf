#include "flusher/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "flusher/handover.h"
#include "flusher/health.h"

/* At most so many calls of a partition in a round, so that flushing is not kept waiting. */
enum { SWEEP_LIMIT = 500, SWEEP_INTERVAL_MS = 1000, TIDY_INTERVAL_MS = 60000, HEALTH_INTERVAL_MS = 15000, SCAN_KEYS = 1000 };

static const enum key_kind reap_keys[] = {KEY_SESSION, KEY_WRITES, KEY_LIVE, KEY_ENDED};
static const enum key_kind purge_keys[] = {KEY_CONTEXT, KEY_SESSION, KEY_WRITES, KEY_EVENTS,
                                           KEY_LIVE,    KEY_ENDED,   KEY_FLUSHED};

/* Of one shard. */
struct sweep_round {
    int64_t next_ms, tidy_ms, health_ms;
    char cursor[24]; /* of the walk over all its sessions; "" or "0": at its beginning */
    struct health health;
};

/* Of one partition: what is on its index, and in its dead stream. */
struct sweep_backlog {
    int64_t calls, oldest_ms; /* INT64_MAX: none */
    int64_t letters;
};

bool sweep_init(struct sweep *sweep)
{
    size_t partitions = (size_t)sweep->keys->partitions;
    sweep->_rounds = calloc(partitions, sizeof *sweep->_rounds);
    sweep->_backlog = calloc(partitions, sizeof *sweep->_backlog);
    for (size_t p = 0; sweep->_backlog && p < partitions; p++)
        sweep->_backlog[p].oldest_ms = INT64_MAX;
    return sweep->_rounds && sweep->_backlog;
}

void sweep_release(struct sweep *sweep)
{
    free(sweep->_rounds);
    free(sweep->_backlog);
}

void sweep_begin_again(struct sweep *sweep)
{
    memset(sweep->_rounds, 0, (size_t)sweep->keys->partitions * sizeof *sweep->_rounds);
}

static int64_t redis_now_ms(redisContext *redis)
{
    redisReply *reply = redis_ask(redis, "TIME");
    int64_t now = -1;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        now = strtoll(reply->element[0]->str, NULL, 10) * 1000 + strtoll(reply->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(reply);
    return now;
}

/* Members of a sorted set with a score up to until: [member, score, member, score, ...]. */
static redisReply *due_calls(redisContext *redis, const struct key_space *keys, enum key_kind kind, int partition,
                             int64_t until)
{
    char key[KEY_SIZE];
    return redis_ask(redis, "ZRANGEBYSCORE %s -inf %lld WITHSCORES LIMIT 0 %d",
                     key_of_partition(key, keys, kind, partition), (long long)until, (int)SWEEP_LIMIT);
}

/* rf_reap is told the lease that was seen, so that one that was renewed since stays. */
static bool append_reap(redisContext *redis, const struct key_space *keys, const char *sid, const char *lease)
{
    const char *const args[] = {lease};
    return handover_append(redis, keys, REDIS_FUNCTION("rf_reap"), reap_keys, ARRAY_LEN(reap_keys), sid, args, ARRAY_LEN(args));
}

static bool append_purge(redisContext *redis, const struct key_space *keys, const char *sid, const char *due)
{
    (void)due;
    return handover_append(redis, keys, REDIS_FUNCTION("rf_purge"), purge_keys, ARRAY_LEN(purge_keys), sid, NULL, 0);
}

typedef bool append_fn(redisContext *redis, const struct key_space *keys, const char *sid, const char *score);

/* Calls the function for each due call of a partition, in one round trip, and counts how often it
 * answered word. Returns how many calls were due; -1: Redis failed. */
static int64_t run_due(struct sweep *sweep, redisContext *redis, const redisReply *due, append_fn *append,
                       const char *word, metric_value *counter)
{
    bool ok = due && due->type == REDIS_REPLY_ARRAY;
    size_t calls = ok ? due->elements / 2 : 0;
    for (size_t i = 0; i < calls && ok; i++)
        ok = append(redis, sweep->keys, due->element[2 * i]->str, due->element[2 * i + 1]->str);
    for (size_t i = 0; i < calls && ok; i++) {
        redisReply *reply = redis_next(redis);
        ok = reply != NULL;
        if (!handover_said(reply, word))
            continue;
        metric_add(counter, 1);
        log_info(due->element[2 * i]->str, "call swept", log_str("as", word));
    }
    return ok ? (int64_t)calls : -1;
}

static bool sweep_partition(struct sweep *sweep, redisContext *redis, int partition, int64_t now, bool *full)
{
    redisReply *lapsed = due_calls(redis, sweep->keys, KEY_LIVE, partition, now - sweep->reap_grace_ms);
    int64_t reaped = run_due(sweep, redis, lapsed, append_reap, "REAPED", &sweep->metrics->reaped);
    redisReply *kept = NULL;
    int64_t purged = -1;
    if (reaped >= 0) {
        kept = due_calls(redis, sweep->keys, KEY_FLUSHED, partition, now);
        purged = run_due(sweep, redis, kept, append_purge, "PURGED", &sweep->metrics->purged);
    }
    freeReplyObject(lapsed);
    freeReplyObject(kept);
    *full = *full || reaped == SWEEP_LIMIT || purged == SWEEP_LIMIT;
    return purged >= 0;
}

/* When the oldest entry of an index was made; INT64_MAX when it has none. */
static bool oldest_entry(redisContext *redis, const char *name, int64_t *made_ms)
{
    redisReply *reply = redis_ask(redis, "XRANGE %s - + COUNT 1", name);
    bool ok = reply && reply->type == REDIS_REPLY_ARRAY;
    *made_ms = ok && reply->elements == 1 ? strtoll(reply->element[0]->element[0]->str, NULL, 10) : INT64_MAX;
    freeReplyObject(reply);
    return ok;
}

static bool stream_length(redisContext *redis, const char *name, int64_t *length)
{
    redisReply *reply = redis_ask(redis, "XLEN %s", name);
    if (!reply)
        return false;
    *length = reply->integer;
    freeReplyObject(reply);
    return true;
}

/* Index entries are removed when their call is done, so what is there is what is left to do. (The group's lag
 * would count entries that were deleted.) */
static bool count_backlog(struct sweep *sweep, redisContext *redis, int partition)
{
    struct sweep_backlog *backlog = &sweep->_backlog[partition];
    char ended[KEY_SIZE], dead[KEY_SIZE];
    return stream_length(redis, key_of_partition(ended, sweep->keys, KEY_ENDED, partition), &backlog->calls) &&
           oldest_entry(redis, ended, &backlog->oldest_ms) &&
           stream_length(redis, key_of_partition(dead, sweep->keys, KEY_DEAD, partition), &backlog->letters);
}

/* Of all partitions, those of other shards as they were found last. */
static bool measure_backlog(struct sweep *sweep, const struct redis_shard *shard, int64_t now)
{
    int64_t calls = 0, letters = 0, oldest = INT64_MAX;
    for (int i = 0; i < shard->count; i++) {
        if (!count_backlog(sweep, shard->redis, shard->partitions[i]))
            return false;
    }
    for (int p = 0; p < sweep->keys->partitions; p++) {
        calls += sweep->_backlog[p].calls;
        letters += sweep->_backlog[p].letters;
        oldest = sweep->_backlog[p].oldest_ms < oldest ? sweep->_backlog[p].oldest_ms : oldest;
    }
    metric_set(&sweep->metrics->backlog, (uint64_t)calls);
    metric_set(&sweep->metrics->letters, (uint64_t)letters);
    sweep->waiting_since_ms = oldest == INT64_MAX ? 0 : clock_mono_ms() - (now > oldest ? now - oldest : 0);
    return true;
}

/* A few of the sessions in each round, all of them in time: calls that fell off the index. */
static bool find_lost(struct sweep *sweep, redisContext *redis, struct sweep_round *round)
{
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_WRITES, KEY_EVENTS, KEY_LIVE, KEY_ENDED};
    char pattern[KEY_SIZE], sid[CALL_SID_SIZE];
    redisReply *scan = redis_ask(redis, "SCAN %s MATCH %s COUNT %d", *round->cursor ? round->cursor : "0",
                                 key_session_pattern(pattern, sweep->keys), (int)SCAN_KEYS);
    const redisReply *found = scan && scan->type == REDIS_REPLY_ARRAY ? scan->element[1] : NULL;
    size_t asked = 0;
    bool ok = found != NULL;
    for (size_t i = 0; ok && i < found->elements; i++) {
        if (!key_session_call(sid, sweep->keys, found->element[i]->str))
            continue;
        ok = handover_append(redis, sweep->keys, REDIS_FUNCTION("rf_find"), kinds, ARRAY_LEN(kinds), sid, NULL, 0);
        asked++;
    }
    for (size_t i = 0; ok && i < asked; i++) {
        redisReply *reply = redis_next(redis);
        ok = reply != NULL;
        metric_add(&sweep->metrics->found, handover_said(reply, "FOUND"));
    }
    if (ok)
        snprintf(round->cursor, sizeof round->cursor, "%s", scan->element[0]->str);
    freeReplyObject(scan);
    return ok;
}

static bool tidy(struct sweep *sweep, const struct redis_shard *shard, struct sweep_round *round)
{
    if (clock_mono_ms() < round->tidy_ms)
        return true;
    round->tidy_ms = clock_mono_ms() + TIDY_INTERVAL_MS;
    return ended_forget_silent(sweep->ended, shard);
}

/* The worst of all shards is told. */
static bool look_after_redis(struct sweep *sweep, redisContext *redis, struct sweep_round *round)
{
    bool at_risk = false;
    int percent = 0;
    if (clock_mono_ms() < round->health_ms)
        return true;
    round->health_ms = clock_mono_ms() + HEALTH_INTERVAL_MS;
    if (!health_look(redis, &round->health))
        return false;
    for (int p = 0; p < sweep->keys->partitions; p++) {
        const struct health *one = &sweep->_rounds[p].health;
        at_risk = at_risk || *one->sentence;
        percent = one->memory_percent > percent ? one->memory_percent : percent;
    }
    metric_set(&sweep->metrics->at_risk, at_risk);
    metric_set(&sweep->metrics->memory_percent, (uint64_t)percent);
    return true;
}

bool sweep_run(struct sweep *sweep, const struct redis_shard *shard)
{
    struct sweep_round *round = &sweep->_rounds[shard->number];
    redisContext *redis = shard->redis;
    int64_t now, claimed;
    bool full = false;
    if (clock_mono_ms() < round->next_ms)
        return true;
    now = redis_now_ms(redis);
    if (now < 0)
        return false;
    for (int i = 0; i < shard->count; i++) {
        if (!sweep_partition(sweep, redis, shard->partitions[i], now, &full))
            return false;
    }
    claimed = ended_claim(sweep->ended, shard);
    if (claimed < 0 || !find_lost(sweep, redis, round) || !measure_backlog(sweep, shard, now) ||
        !tidy(sweep, shard, round) || !look_after_redis(sweep, redis, round))
        return false;
    metric_add(&sweep->metrics->claimed, (uint64_t)claimed);
    round->next_ms = full ? 0 : clock_mono_ms() + SWEEP_INTERVAL_MS;
    return true;
}

int64_t sweep_wait_ms(const struct sweep *sweep, const struct redis_shard *shard)
{
    int64_t wait = sweep->_rounds[shard->number].next_ms - clock_mono_ms();
    return wait > 1 ? wait : 1;
}
