#include "worker/spool/return.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/functions.h"
#include "common/redis/shards.h"
#include "common/redis/slot.h"
#include "worker/spool/record.h"

enum {
    TIMEOUT_MS = 1000, /* while it waits nothing is written to disk */
    RETRY_FIRST_MS = 500,
    RETRY_LAST_MS = 8000,
    CHUNK_ENTRIES = 64, /* of a command: Redis serves nobody else meanwhile */
    CHUNK_BYTES = 256 * 1024,
    LEAVING_ARGS = 5,
    HEAD_ARGS = 10 + LEAVING_ARGS, /* FCALL, function, count, 5 keys, sid, stream_sid */
    ARGS_MAX = HEAD_ARGS + CHUNK_ENTRIES * (SPOOL_TEXTS_MAX + 1),
};

struct spool_return {
    const struct key_space *keys;
    struct redis_shards *shards;
    bool stale; /* the shards are to be found (again) */
    bool sure;  /* of the primary, for this file */
    int64_t next_ms, wait_ms;
    const char *argv[ARGS_MAX];
    size_t lens[ARGS_MAX];
    char counts[CHUNK_ENTRIES][12];
    int argc, entries;
    size_t bytes;
};

struct spool_return *spool_return_new(const struct redis_url *url, const struct key_space *keys)
{
    struct spool_return *r = calloc(1, sizeof *r);
    const struct redis_sync_spec spec = {.url = url, .keys = keys, .name = "ringfleet-spool", .timeout_ms = TIMEOUT_MS};
    if (!r)
        return NULL;
    r->keys = keys;
    r->stale = true;
    r->shards = redis_shards_new(&spec);
    if (r->shards)
        return r;
    free(r);
    return NULL;
}

void spool_return_free(struct spool_return *r)
{
    if (!r)
        return;
    redis_shards_free(r->shards);
    free(r);
}

bool spool_return_due(const struct spool_return *r)
{
    return clock_mono_ms() >= r->next_ms;
}

/* -- Redis --------------------------------------------------------------------------------------- */

static void lost(struct spool_return *r, struct redis_shard *shard)
{
    if (shard)
        redis_shard_lose(shard);
    r->stale = true;
    r->wait_ms = r->wait_ms == 0 ? RETRY_FIRST_MS : 2 * r->wait_ms < RETRY_LAST_MS ? 2 * r->wait_ms : RETRY_LAST_MS;
    r->next_ms = clock_mono_ms() + r->wait_ms;
}

static bool find(struct spool_return *r, struct redis_refusal *why)
{
    if (r->stale && !redis_shards_find(r->shards, why)) {
        lost(r, NULL);
        return false;
    }
    r->stale = false;
    return true;
}

/* A connection may be older than the Sentinels' last choice: what a primary takes after it was replaced is gone. Once
 * for each file, or a Sentinel that is behind would keep a long one from ever being through. */
static bool make_sure(struct spool_return *r, struct redis_refusal *why)
{
    enum redis_primacy primacy = r->sure ? REDIS_PRIMARY : redis_shards_primacy(r->shards);
    r->sure = primacy == REDIS_PRIMARY;
    if (r->sure)
        return true;
    snprintf(why->text, sizeof why->text, "the Sentinels name another primary");
    if (primacy == REDIS_REPLACED)
        lost(r, redis_shards_at(r->shards, 0));
    return false; /* after a doubt the next Sentinel tells, next time */
}

static struct redis_shard *reach(struct spool_return *r, const char *key, char why[256])
{
    struct redis_refusal refusal = {.text = "no node of the cluster has the call's slot"};
    struct redis_shard *shard = NULL;
    if (find(r, &refusal) && make_sure(r, &refusal)) {
        shard = redis_shards_of(r->shards, redis_slot(key, strlen(key)));
        if (shard && redis_shard_connect(r->shards, shard, &refusal))
            return shard;
        lost(r, shard);
    }
    snprintf(why, 256, "%.255s", refusal.text);
    return NULL;
}

/* The answer's words; NULL, with the reason, if there is none. To be freed. */
static redisReply *ask(struct spool_return *r, const char *key, char why[256])
{
    struct redis_shard *shard = reach(r, key, why);
    redisReply *reply = shard ? redisCommandArgv(shard->redis, r->argc, r->argv, r->lens) : NULL;
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements >= 2) {
        r->wait_ms = 0;
        return reply;
    }
    if (shard) {
        snprintf(why, 256, "%.255s", !reply ? shard->redis->errstr : reply->type == REDIS_REPLY_ERROR ? reply->str : "no answer");
        lost(r, shard); /* also of a refusal: the function may be missing, or the slot have moved */
    }
    freeReplyObject(reply);
    return NULL;
}

/* -- one file ------------------------------------------------------------------------------------ */

struct passage {
    struct spool_return *r;
    struct spool_tally *tally;
    char keys[5][KEY_SIZE], sid[CALL_SID_SIZE], stream_sid[CALL_SID_SIZE];
    char *why;
};

static void add(struct spool_return *r, const char *str, size_t len)
{
    r->argv[r->argc] = str;
    r->lens[r->argc++] = len;
    r->bytes += len;
}

/* The arguments before the entries; the call was not left. */
static void begin(struct passage *p)
{
    struct spool_return *r = p->r;
    r->argc = r->entries = 0;
    r->bytes = 0;
    add(r, "FCALL", 5);
    add(r, REDIS_FUNCTION("rf_late"), strlen(REDIS_FUNCTION("rf_late")));
    add(r, "5", 1);
    for (size_t i = 0; i < ARRAY_LEN(p->keys); i++)
        add(r, p->keys[i], strlen(p->keys[i]));
    add(r, p->sid, strlen(p->sid));
    add(r, p->stream_sid, strlen(p->stream_sid));
    for (int i = 0; i < LEAVING_ARGS; i++)
        add(r, "", 0);
}

/* It was left like this, behind the entries that follow the arguments. */
static void leave(struct spool_return *r, const struct spool_record *end)
{
    int at = HEAD_ARGS - LEAVING_ARGS;
    r->argv[at] = end->kind == SPOOL_END ? "end" : "left";
    r->lens[at] = strlen(r->argv[at]);
    for (int i = 0; i < end->count && i < LEAVING_ARGS - 1; i++) {
        r->argv[at + 1 + i] = end->texts[i].str;
        r->lens[at + 1 + i] = end->texts[i].len;
    }
}

static uint64_t number(const redisReply *reply, size_t i)
{
    if (i >= reply->elements)
        return 0;
    return reply->element[i]->type == REDIS_REPLY_INTEGER ? (uint64_t)reply->element[i]->integer
                                                          : strtoull(reply->element[i]->str, NULL, 10);
}

static bool send(struct passage *p)
{
    redisReply *reply = ask(p->r, p->keys[1], p->why);
    if (!reply)
        return false;
    if (strcmp(reply->element[0]->str, "LATE") == 0) {
        p->tally->added += number(reply, 1);
        p->tally->known += number(reply, 2);
        p->tally->refused += number(reply, 3);
    } else {
        p->tally->buried += number(reply, 1);
    }
    freeReplyObject(reply);
    return true;
}

static bool take_entry(struct passage *p, const struct spool_record *record)
{
    struct spool_return *r = p->r;
    if (record->count < 4 || record->count % 2 != 0)
        return true; /* it is whole, and none of ours */
    if (r->entries == CHUNK_ENTRIES || r->bytes > CHUNK_BYTES) {
        if (!send(p))
            return false;
        begin(p);
    }
    snprintf(r->counts[r->entries], sizeof r->counts[0], "%d", record->count - 2);
    add(r, record->texts[0].str, record->texts[0].len);
    add(r, record->texts[1].str, record->texts[1].len);
    add(r, r->counts[r->entries], strlen(r->counts[r->entries]));
    for (int i = 2; i < record->count; i++)
        add(r, record->texts[i].str, record->texts[i].len);
    r->entries++;
    return true;
}

static bool text_is(struct spool_text text, const char *str)
{
    return text.len == strlen(str) && memcmp(text.str, str, text.len) == 0;
}

static bool copy_text(char out[CALL_SID_SIZE], struct spool_text text)
{
    if (text.len == 0 || text.len >= CALL_SID_SIZE)
        return false;
    memcpy(out, text.str, text.len);
    out[text.len] = '\0';
    return true;
}

static enum spool_result take_owner(struct passage *p, const struct spool_record *record)
{
    static const enum key_kind kinds[] = {KEY_SESSION, KEY_WRITES, KEY_LIVE, KEY_ENDED, KEY_DEAD};
    const struct key_space *keys = p->r->keys;
    if (record->kind != SPOOL_OWNER || record->count < 4 || !copy_text(p->sid, record->texts[1]) ||
        !copy_text(p->stream_sid, record->texts[2]) || !call_sid_valid(p->sid))
        return SPOOL_UNREADABLE;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        key_of_call(p->keys[i], keys, kinds[i], p->sid);
    memcpy(p->tally->call_sid, p->sid, sizeof p->sid);
    return SPOOL_DONE;
}

/* Entries first, whole chunks of them; the way in which the call was left goes with the last. */
static bool pass_on(struct passage *p, const uint8_t *bytes, size_t len, size_t at)
{
    struct spool_record record, end = {.count = 0};
    bool left = false;
    size_t before = at;
    enum spool_found found;
    begin(p);
    while ((found = spool_record_read(bytes, len, &at, &record)) == SPOOL_RECORD || found == SPOOL_DAMAGE) {
        p->tally->damaged = p->tally->damaged || found == SPOOL_DAMAGE;
        before = at;
        if (found == SPOOL_RECORD && record.kind == SPOOL_ENTRY && !take_entry(p, &record))
            return false;
        if (found == SPOOL_RECORD && (record.kind == SPOOL_END || record.kind == SPOOL_LEFT)) {
            end = record;
            left = true;
        }
    }
    p->tally->torn = len - before;
    if (left)
        leave(p->r, &end);
    return (p->r->entries == 0 && !left) || send(p);
}

bool spool_return_is_ours(const struct spool_return *r, const uint8_t *bytes, size_t len)
{
    struct spool_record owner;
    size_t at = SPOOL_HEAD_SIZE;
    if (!spool_head_read(bytes, len))
        return false;
    return spool_record_read(bytes, len, &at, &owner) != SPOOL_RECORD || owner.kind != SPOOL_OWNER || owner.count == 0 ||
           text_is(owner.texts[0], r->keys->prefix);
}

enum spool_result spool_return_file(struct spool_return *r, const uint8_t *bytes, size_t len, struct spool_tally *tally,
                                    char why[256])
{
    struct passage p = {.r = r, .tally = tally, .why = why};
    struct spool_record record;
    size_t at = SPOOL_HEAD_SIZE;
    enum spool_result result;
    memset(tally, 0, sizeof *tally);
    r->sure = false;
    switch (spool_record_read(bytes, len, &at, &record)) {
    case SPOOL_RECORD:
        result = take_owner(&p, &record);
        return result != SPOOL_DONE ? result : pass_on(&p, bytes, len, at) ? SPOOL_DONE : SPOOL_LATER;
    case SPOOL_DAMAGE:
        return SPOOL_UNREADABLE;
    case SPOOL_TORN:
        tally->torn = len - SPOOL_HEAD_SIZE;
        return SPOOL_DONE;
    case SPOOL_OVER: /* its worker died before it had written anything */
        return SPOOL_DONE;
    }
    return SPOOL_UNREADABLE;
}
