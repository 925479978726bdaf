#include "worker/call/claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/redis/functions.h"

struct ticket *claim_send(struct worker *w, const char *call_sid, int n, const char *token, const char *stream_sid,
                          ticket_fn *fn, void *owner)
{
    static const enum key_kind kinds[] = {KEY_CONTEXT, KEY_SESSION, KEY_WRITES, KEY_LIVE};
    char keys[4][KEY_SIZE], number[16], lease[24];
    json_t *data = json_pack("{s:s, s:s, s:i}", "worker", w->id, "stream_sid", stream_sid, "stream", n);
    char *text = json_dumps(data, JSON_COMPACT);
    const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_claim"), "4", keys[0], keys[1], keys[2], keys[3], call_sid, number,
                          token, w->id, stream_sid, lease, text};
    struct ticket *ticket = NULL;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        key_of_call(keys[i], &w->keys, kinds[i], call_sid);
    snprintf(number, sizeof number, "%d", n);
    snprintf(lease, sizeof lease, "%" PRId64, w->config->lease_seconds * 1000);
    if (text)
        ticket = ticket_send(w, fn, owner, (int)ARRAY_LEN(argv), argv);
    free(text);
    json_decref(data);
    return ticket;
}

static const char *field_of(const redisReply *fields, const char *name)
{
    for (size_t i = 0; i + 1 < fields->elements; i += 2) {
        if (strcmp(redis_text(fields, i), name) == 0)
            return redis_text(fields, i + 1);
    }
    return "";
}

void claim_add_booking(struct claim *claim, struct span time)
{
    if (!claim->bookings)
        claim->bookings = calloc(CLAIM_BOOKINGS_MAX, sizeof *claim->bookings);
    if (claim->bookings && claim->booking_count < CLAIM_BOOKINGS_MAX)
        claim->bookings[claim->booking_count++] = time;
}

static void take_booking(const redisReply *fields, struct claim *out)
{
    struct span time;
    if (iso_time_parse(field_of(fields, "starts_at"), &time.from) && iso_time_parse(field_of(fields, "ends_at"), &time.to))
        claim_add_booking(out, time);
}

static void take_fact(const redisReply *fields, struct claim *out)
{
    json_t *data = json_loads(field_of(fields, "data"), 0, NULL);
    const char *left = json_string_value(json_object_get(data, CLAIM_HANDED_OVER));
    out->idle = left && strcmp(left, CLAIM_IDLE) == 0;
    if (out->greeting_began_ms == 0)
        out->greeting_began_ms = json_integer_value(json_object_get(data, CLAIM_GREETING_BEGAN));
    json_decref(data);
}

/* One journal entry: [id, [field, value, ...]]. false: out of memory. */
static bool take_entry(const redisReply *entry, struct claim *out)
{
    const redisReply *fields = entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 ? entry->element[1] : NULL;
    const char *type = fields && fields->type == REDIS_REPLY_ARRAY ? field_of(fields, "type") : "";
    out->idle = false; /* the last entry tells: a worker that died left no such fact there */
    if (strcmp(type, "callsession_update") == 0)
        take_fact(fields, out);
    if (strcmp(type, "turn") == 0)
        return history_add(&out->history, field_of(fields, "speaker"), field_of(fields, "message"));
    if (strcmp(type, "appointment_create") == 0)
        take_booking(fields, out);
    return true;
}

static bool take_journal(const redisReply *entries, struct claim *out)
{
    for (size_t i = 0; i < entries->elements; i++) {
        if (!take_entry(entries->element[i], out))
            return false;
    }
    return true;
}

const char *claim_take(const redisReply *reply, struct claim *out)
{
    const char *word = redis_word(reply);
    memset(out, 0, sizeof *out);
    if (!reply)
        return "redis connection lost";
    if (reply->type == REDIS_REPLY_ERROR)
        return reply->str;
    if (strcmp(word, "CLAIMED") != 0)
        return *word ? word : "unexpected reply";
    if (reply->elements != 6 || reply->element[4]->type != REDIS_REPLY_ARRAY ||
        reply->element[5]->type != REDIS_REPLY_ARRAY)
        return "unexpected reply";
    out->epoch = strtoull(redis_text(reply, 1), NULL, 10);
    out->seq = strtoull(redis_text(reply, 2), NULL, 10);
    out->clock_skew_ms = strtoll(redis_text(reply, 3), NULL, 10) - clock_mono_ms();
    if (context_take(&out->context, reply->element[4]) != 0 || !take_journal(reply->element[5], out))
        return "out of memory";
    return NULL;
}

void claim_release(struct claim *claim)
{
    context_release(&claim->context);
    history_release(&claim->history);
    free(claim->bookings);
    memset(claim, 0, sizeof *claim);
}
