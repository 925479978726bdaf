#include "flusher/dead.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/redis/functions.h"
#include "flusher/handover.h"

bool dead_add(struct dead_list *list, const char *call_sid, const struct journal_entry *entry, const char *sqlstate,
              const char *message)
{
    struct dead_letter *letter;
    if (list->count == list->_cap) {
        size_t cap = list->_cap ? 2 * list->_cap : 8;
        struct dead_letter *grown = realloc(list->letters, cap * sizeof *grown);
        if (!grown)
            return false;
        list->letters = grown;
        list->_cap = cap;
    }
    letter = &list->letters[list->count++];
    letter->call_sid = call_sid;
    letter->entry = entry;
    snprintf(letter->sqlstate, sizeof letter->sqlstate, "%s", sqlstate);
    snprintf(letter->message, sizeof letter->message, "%s", message);
    return true;
}

void dead_release(struct dead_list *list)
{
    free(list->letters);
    memset(list, 0, sizeof *list);
}

bool dead_has(const struct dead_list *list, const struct journal_entry *entry)
{
    for (size_t i = 0; i < list->count; i++) {
        if (list->letters[i].entry == entry)
            return true;
    }
    return false;
}

/* Each byte above 0x7F as the character of that number: readable, and the bytes can be had back. */
static json_t *json_of_bytes(const char *bytes, size_t len)
{
    char *text = malloc(2 * len + 1);
    json_t *value = NULL;
    size_t n = 0;
    if (!text)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= 0x80)
            text[n++] = (char)(0xC0 | (c >> 6));
        text[n++] = (char)(c >= 0x80 ? 0x80 | (c & 0x3F) : c);
    }
    value = json_stringn(text, n);
    free(text);
    return value;
}

static json_t *json_of_text(const redisReply *reply)
{
    json_t *value = json_stringn(reply->str, reply->len); /* NULL when it is no UTF-8 */
    return value ? value : json_of_bytes(reply->str, reply->len);
}

char *dead_entry_json(const redisReply *pairs)
{
    json_t *object = json_object();
    char *text = NULL;
    bool ok = object != NULL;
    for (size_t i = 0; ok && i + 1 < pairs->elements; i += 2) {
        json_t *key = json_of_text(pairs->element[i]);
        ok = key && json_object_set_new(object, json_string_value(key), json_of_text(pairs->element[i + 1])) == 0;
        json_decref(key);
    }
    if (ok)
        text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

static const enum key_kind dead_keys[] = {KEY_SESSION, KEY_DEAD};

static bool append_letter(const struct dead_letter *letter, redisContext *redis, const struct key_space *keys)
{
    const struct journal_entry *entry = letter->entry;
    char id[STREAM_ID_SIZE], *json = dead_entry_json(entry->pairs);
    const char *const args[] = {journal_stream_names[entry->stream],
                                stream_id_format(id, entry->id),
                                entry->type_name.str ? entry->type_name.str : "",
                                letter->sqlstate,
                                letter->message,
                                json};
    bool ok = json && handover_append(redis, keys, REDIS_FUNCTION("rf_dead"), dead_keys, ARRAY_LEN(dead_keys),
                                      letter->call_sid, args, ARRAY_LEN(args));
    free(json);
    return ok;
}

bool dead_send(const struct dead_list *list, redisContext *redis, const struct key_space *keys)
{
    bool ok = true;
    for (size_t i = 0; i < list->count; i++) {
        if (!append_letter(&list->letters[i], redis, keys))
            return false;
    }
    for (size_t i = 0; i < list->count; i++)
        ok = handover_said(redis_next(redis), "DEAD") && ok;
    return ok;
}

int64_t dead_doubt_call(const char *call_sid, struct stream_id attempt, redisContext *redis, const struct key_space *keys)
{
    char id[STREAM_ID_SIZE];
    const char *const args[] = {stream_id_format(id, attempt)};
    redisReply *reply = NULL;
    int64_t count = -1;
    if (handover_append(redis, keys, REDIS_FUNCTION("rf_doubt"), dead_keys, 1, call_sid, args, ARRAY_LEN(args)))
        reply = redis_next(redis);
    if (reply && reply->type == REDIS_REPLY_ARRAY && reply->elements == 2)
        count = strtoll(reply->element[1]->str, NULL, 10);
    freeReplyObject(reply);
    return count;
}

bool dead_send_call(const char *call_sid, struct stream_id attempt, const struct db_error *error, redisContext *redis,
                    const struct key_space *keys)
{
    char id[STREAM_ID_SIZE];
    const char *const args[] = {"call", stream_id_format(id, attempt), "", error->sqlstate, error->message, "{}"};
    return handover_append(redis, keys, REDIS_FUNCTION("rf_dead"), dead_keys, ARRAY_LEN(dead_keys), call_sid, args,
                           ARRAY_LEN(args)) &&
           handover_said(redis_next(redis), "DEAD");
}
