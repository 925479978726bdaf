#include "flusher/journal_read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const journal_stream_names[STREAM_COUNT] = {"writes", "events"};

enum { IN_WRITES = 1 << STREAM_WRITES, IN_EVENTS = 1 << STREAM_EVENTS };

static const unsigned allowed_streams[JOURNAL_TYPE_COUNT] = {
    [JOURNAL_CALL_OPEN] = IN_EVENTS,
    [JOURNAL_TURN] = IN_WRITES | IN_EVENTS,
    [JOURNAL_LEAD_UPDATE] = IN_WRITES,
    [JOURNAL_APPOINTMENT_CREATE] = IN_WRITES,
    [JOURNAL_CALLSESSION_UPDATE] = IN_WRITES | IN_EVENTS, /* of the media side, as turns are */
    [JOURNAL_CALL_STATUS] = IN_EVENTS,
    [JOURNAL_STREAM_ERROR] = IN_EVENTS,
    [JOURNAL_CALL_LINK] = IN_EVENTS,
    [JOURNAL_RECORDING] = IN_EVENTS,
    [JOURNAL_CALL_END] = IN_WRITES,
};

static struct journal_text text_of(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_STRING)
        return (struct journal_text){NULL, 0};
    return (struct journal_text){reply->str, reply->len};
}

/* The field of that name. Fields mostly stand in the order in which they are asked for, so the search begins
 * at *from, where the last one was found. */
static struct journal_text field_named(const redisReply *pairs, const char *name, size_t *from)
{
    size_t len = strlen(name), count = pairs->elements / 2;
    for (size_t n = 0; n < count; n++) {
        size_t i = *from + n < count ? *from + n : *from + n - count;
        const redisReply *key = pairs->element[2 * i];
        if (key->len == len && memcmp(key->str, name, len) == 0) {
            *from = i;
            return text_of(pairs->element[2 * i + 1]);
        }
    }
    return (struct journal_text){NULL, 0};
}

static bool read_at(struct journal_text text, int64_t *out)
{
    char *end;
    if (!text.str || text.len == 0)
        return false;
    errno = 0;
    *out = strtoll(text.str, &end, 10);
    return errno == 0 && end == text.str + text.len && *out > 0;
}

static bool is_pairs(const redisReply *reply)
{
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    for (size_t i = 0; i < reply->elements; i++) {
        if (reply->element[i]->type != REDIS_REPLY_STRING)
            return false;
    }
    return true;
}

static bool read_entry(const redisReply *reply, enum journal_stream stream, struct journal_entry *entry)
{
    size_t from = 0;
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 2 || reply->element[0]->type != REDIS_REPLY_STRING ||
        !stream_id_parse(reply->element[0]->str, &entry->id) || !is_pairs(reply->element[1]))
        return false;
    entry->stream = stream;
    entry->pairs = reply->element[1];
    entry->type_name = field_named(entry->pairs, "type", &from);
    entry->type = entry->type_name.str ? journal_type_named(entry->type_name.str) : JOURNAL_UNKNOWN;
    entry->has_at = read_at(field_named(entry->pairs, "at", &from), &entry->at_ms);
    if (entry->type == JOURNAL_UNKNOWN)
        return true;
    for (int i = 0; i < journal_types[entry->type].field_count; i++)
        entry->fields[i] = field_named(entry->pairs, journal_types[entry->type].fields[i], &from);
    return true;
}

bool journal_read(const redisReply *reply, enum journal_stream stream, struct journal *out)
{
    memset(out, 0, sizeof *out);
    if (reply->type != REDIS_REPLY_ARRAY)
        return false;
    if (reply->elements == 0)
        return true;
    out->entries = calloc(reply->elements, sizeof *out->entries);
    if (!out->entries)
        return false;
    for (size_t i = 0; i < reply->elements; i++) {
        if (!read_entry(reply->element[i], stream, &out->entries[i]))
            return false;
        out->last = out->entries[i].id;
        out->count++;
    }
    return true;
}

void journal_release(struct journal *journal)
{
    free(journal->entries);
    memset(journal, 0, sizeof *journal);
}

const char *journal_entry_wrong(const struct journal_entry *entry)
{
    if (entry->type == JOURNAL_UNKNOWN)
        return "unknown type";
    if (!(allowed_streams[entry->type] & (1u << entry->stream)))
        return entry->stream == STREAM_WRITES ? "this type does not belong in writes"
                                              : "this type does not belong in events";
    if (!entry->has_at)
        return "no time (at)";
    return NULL;
}

int64_t journal_entry_seq(const struct journal_entry *entry)
{
    if (entry->stream == STREAM_WRITES)
        return (int64_t)entry->id.lo;
    return (int64_t)(entry->id.hi * 1000 + entry->id.lo);
}
