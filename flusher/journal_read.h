/* A call's two journals as Redis answers them (XRANGE), taken apart. Pure: no connection. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/journal.h"

enum journal_stream { STREAM_WRITES, STREAM_EVENTS, STREAM_COUNT };

extern const char *const journal_stream_names[STREAM_COUNT];

struct journal_text {
    const char *str; /* NULL: the entry has no such field */
    size_t len;
};

/* All texts are borrowed from the reply. */
struct journal_entry {
    struct stream_id id;
    enum journal_stream stream;
    enum journal_type type;     /* JOURNAL_UNKNOWN: type_name says what it called itself */
    struct journal_text type_name;
    bool has_at;
    int64_t at_ms;
    struct journal_text fields[JOURNAL_FIELDS_MAX]; /* in the order of the type's row */
    const redisReply *pairs;    /* field, value, field, value, ... as they stand in Redis */
};

struct journal {
    struct journal_entry *entries;
    size_t count;
    struct stream_id last; /* of the entries read; 0-0 when there are none */
};

/* Takes an XRANGE reply, which stays the caller's and must outlive *out. false: it is no such reply,
 * or memory is out. Release in both cases. */
RF_NODISCARD bool journal_read(const redisReply *reply, enum journal_stream stream, struct journal *out);
void journal_release(struct journal *journal);

/* What makes an entry one that is never tried: NULL, or why. Each type belongs to the program that
 * knows the fact, so to one stream (turns to the one that carries the media). */
const char *journal_entry_wrong(const struct journal_entry *entry);

/* The number that stands for the entry in Postgres: the seq of a write, ms * 1000 + n of an event.
 * It depends on the id only and grows in the journal's order. */
int64_t journal_entry_seq(const struct journal_entry *entry);
