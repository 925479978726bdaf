#include "flusher/inspect/look.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/utf8.h"
#include "common/redis/sync.h"

enum { TIMEOUT_MS = 5000 };

bool look_begin(struct look *look, const struct flusher_config *config, const struct options *options)
{
    const struct redis_sync_spec spec = {&look->_url, &look->keys, "flusher-look", TIMEOUT_MS, true};
    struct redis_place found;
    struct redis_refusal why;
    redisReply *time;
    bool cluster;
    *look = (struct look){.config = config, .options = options};
    look->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    if (redis_url_parse(config->redis_url, &look->_url, why.text, sizeof why.text) == 0)
        look->redis = redis_sync_find(&spec, &found, &cluster, &why);
    if (!look->redis) {
        fprintf(stderr, "flusher: %s\n", why.text);
        return false;
    }
    time = look_ask(look, "TIME");
    if (time && time->elements == 2)
        look->now_ms = strtoll(time->element[0]->str, NULL, 10) * 1000 + strtoll(time->element[1]->str, NULL, 10) / 1000;
    freeReplyObject(time);
    return look->now_ms > 0;
}

void look_release(struct look *look)
{
    if (look->redis)
        redisFree(look->redis);
    redis_url_release(&look->_url);
}

redisReply *look_ask(struct look *look, const char *format, ...)
{
    redisReply *reply;
    va_list args;
    va_start(args, format);
    reply = redisvCommand(look->redis, format, args);
    va_end(args);
    if (reply && reply->type != REDIS_REPLY_ERROR)
        return reply;
    fprintf(stderr, "flusher: Redis: %s\n", reply ? reply->str : look->redis->errstr);
    freeReplyObject(reply);
    return NULL;
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
