#include "flusher/inspect/look.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/utf8.h"
#include "common/redis/redirect.h"
#include "common/redis/slot.h"

enum { TIMEOUT_MS = 5000, CHANGE_PAUSE_MS = 100 };

static bool begin(struct look *look, const struct flusher_config *config, const struct options *options, bool functions)
{
    const struct redis_sync_spec spec = {&look->_url, &look->keys, "flusher-look", TIMEOUT_MS, true, functions, 0};
    struct redis_refusal why = {.text = "out of memory"};
    redisReply *time;
    *look = (struct look){.config = config, .options = options};
    look->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    if (redis_url_parse(config->redis_url, &look->_url, why.text, sizeof why.text) == 0)
        look->shards = redis_shards_new(&spec);
    if (!look->shards || !redis_shards_find(look->shards, &why)) {
        fprintf(stderr, "flusher: %s\n", why.text);
        return false;
    }
    time = look_ask(look, "TIME");
    if (time && time->elements == 2)
        look->now_ms = strtoll(time->element[0]->str, NULL, 10) * 1000 + strtoll(time->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(time);
    return look->now_ms > 0;
}

bool look_begin(struct look *look, const struct flusher_config *config, const struct options *options)
{
    return begin(look, config, options, false);
}

bool look_begin_with_functions(struct look *look, const struct flusher_config *config, const struct options *options)
{
    return begin(look, config, options, true);
}

void look_release(struct look *look)
{
    redis_shards_free(look->shards);
    redis_url_release(&look->_url);
}

bool look_is_alone(const struct look *look)
{
    return redis_shards_count(look->shards) == 1 && redis_shards_at(look->shards, 0)->alone;
}

/* -- asking -------------------------------------------------------------------------------------- */

static struct redis_shard *shard_for(struct look *look, int slot, struct redis_refusal *why)
{
    struct redis_shard *shard = slot < 0 || look_is_alone(look) ? redis_shards_at(look->shards, 0)
                                                                : redis_shards_of(look->shards, slot);
    snprintf(why->text, sizeof why->text, "no node of the cluster has slot %d", slot);
    return shard && redis_shard_connect(look->shards, shard, why) ? shard : NULL;
}

/* NULL, with the reason, when the connection failed. */
static redisReply *ask_once(struct look *look, const char *text, size_t len, struct redis_refusal *why)
{
    struct redis_shard *shard = shard_for(look, redis_wire_slot(text, len), why);
    void *reply = NULL;
    if (shard && (redisAppendFormattedCommand(shard->redis, text, len) != REDIS_OK ||
                  redisGetReply(shard->redis, &reply) != REDIS_OK)) {
        snprintf(why->text, sizeof why->text, "%s", shard->redis->errstr);
        redis_shard_lose(shard);
    }
    return reply;
}

static bool is_elsewhere(const redisReply *reply)
{
    return reply && reply->type == REDIS_REPLY_ERROR && redirect_parse(reply->str).kind != REDIRECT_NONE;
}

/* A cluster that is changing is waited for. Takes text. */
static redisReply *ask(struct look *look, char *text, int len)
{
    const struct timespec pause = {0, CHANGE_PAUSE_MS * 1000000L};
    struct redis_refusal why, ignored;
    redisReply *reply = NULL;
    for (int waited = 0; len > 0; waited += CHANGE_PAUSE_MS) {
        reply = ask_once(look, text, (size_t)len, &why);
        if (!is_elsewhere(reply) || waited >= TIMEOUT_MS)
            break;
        freeReplyObject(reply);
        nanosleep(&pause, NULL);
        (void)!redis_shards_find(look->shards, &ignored);
    }
    if (!reply)
        fprintf(stderr, "flusher: Redis: %s\n", len > 0 ? why.text : "out of memory");
    if (len > 0)
        redisFreeCommand(text);
    return reply;
}

redisReply *look_try_words(struct look *look, int argc, const char **argv)
{
    char *text = NULL;
    int len = redisFormatCommandArgv(&text, argc, argv, NULL);
    return ask(look, text, len);
}

static redisReply *try_format(struct look *look, const char *format, va_list args)
{
    char *text = NULL;
    int len = redisvFormatCommand(&text, format, args);
    return ask(look, text, len);
}

redisReply *look_try(struct look *look, const char *format, ...)
{
    redisReply *reply;
    va_list args;
    va_start(args, format);
    reply = try_format(look, format, args);
    va_end(args);
    return reply;
}

redisReply *look_ask(struct look *look, const char *format, ...)
{
    redisReply *reply;
    va_list args;
    va_start(args, format);
    reply = try_format(look, format, args);
    va_end(args);
    if (!reply || reply->type != REDIS_REPLY_ERROR)
        return reply;
    fprintf(stderr, "flusher: Redis: %s\n", reply->str);
    freeReplyObject(reply);
    return NULL;
}

/* -- showing ------------------------------------------------------------------------------------- */

size_t look_cut(const char *what, int partition, size_t count)
{
    if (count <= LOOK_MOST)
        return count;
    fprintf(stderr, "flusher: there are more than %d %s in partition %d; the first are shown\n", (int)LOOK_MOST, what,
            partition);
    return LOOK_MOST;
}

const char *look_text(const redisReply *reply)
{
    return reply && (reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS) ? reply->str : NULL;
}

const char *look_field(const redisReply *pairs, const char *name)
{
    for (size_t i = 0; pairs && i + 1 < pairs->elements; i += 2) {
        if (strcmp(pairs->element[i]->str, name) == 0)
            return look_text(pairs->element[i + 1]);
    }
    return NULL;
}

json_t *look_json(const char *text, const struct mask *mask)
{
    char *masked = text ? mask_text(mask, text) : NULL;
    json_t *value;
    if (!masked)
        return json_null();
    for (char *at = masked; *at; at += utf8_length(at)) {
        if (utf8_length(at) == 0)
            *at = '?';
    }
    value = json_string(masked);
    free(masked);
    return value;
}

json_t *look_number(const char *text)
{
    return text && *text ? json_integer(strtoll(text, NULL, 10)) : json_null();
}

void look_learn(struct look *look, const char *call_sid, struct mask *mask)
{
    static const char *const fields[] = {"lead_full_name", "lead_first_name", "lead_last_name"};
    char key[KEY_SIZE];
    redisReply *reply = look_ask(look, "HMGET %s %s %s %s", key_of_call(key, &look->keys, KEY_CONTEXT, call_sid),
                                 fields[0], fields[1], fields[2]);
    for (size_t i = 0; reply && i < reply->elements; i++) {
        if (look_text(reply->element[i]))
            mask_learn(mask, look_text(reply->element[i]));
    }
    freeReplyObject(reply);
}

static bool is_frame(const char *field)
{
    return strcmp(field, "type") == 0 || strcmp(field, "by") == 0 || strcmp(field, "at") == 0;
}

char *look_entry_text(const redisReply *pairs, struct mask *mask)
{
    const char *message = look_field(pairs, "message"), *speaker = look_field(pairs, "speaker");
    const char *field = look_field(pairs, "field"), *value = look_field(pairs, "value");
    char *text = NULL, *masked;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return NULL;
    if (field && value)
        mask_learn_field(mask, field, value);
    if (message && speaker)
        fprintf(out, "%s: %s", speaker, message);
    for (size_t i = 0; !(message && speaker) && i + 1 < pairs->elements; i += 2) {
        if (!is_frame(pairs->element[i]->str) && look_text(pairs->element[i + 1]) && *pairs->element[i + 1]->str)
            fprintf(out, "%s%s=%s", ftell(out) > 0 ? " " : "", pairs->element[i]->str, pairs->element[i + 1]->str);
    }
    fclose(out);
    masked = mask_text(mask, text);
    free(text);
    return masked;
}
