/* Entries that cannot be applied, with the reason: collected during a transaction, and handed to the
 * dead stream (rf_dead) before its commit. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/keys.h"
#include "flusher/database.h"
#include "flusher/journal_read.h"

struct dead_letter {
    const char *call_sid; /* borrowed */
    const struct journal_entry *entry; /* borrowed */
    char sqlstate[6];     /* "" when Postgres was not asked */
    char message[512];
};

struct dead_list {
    struct dead_letter *letters;
    size_t count, _cap;
};

RF_NODISCARD bool dead_add(struct dead_list *list, const char *call_sid, const struct journal_entry *entry,
                           const char *sqlstate, const char *message);
void dead_release(struct dead_list *list);
bool dead_has(const struct dead_list *list, const struct journal_entry *entry);

/* Keeps them all in Redis, once each however often it is asked. false: Redis failed, nothing may be
 * committed. */
RF_NODISCARD bool dead_send(const struct dead_list *list, redisContext *redis, const struct key_space *keys);

/* Postgres fails on the whole call, strangely. Returns how often so far, this time included; -1: Redis failed. */
RF_NODISCARD int64_t dead_doubt_call(const char *call_sid, struct stream_id attempt, redisContext *redis,
                                     const struct key_space *keys);

/* Keeps a whole call: Postgres fails whenever it is applied, and does not say that an entry is at fault. Its journal
 * stays in Redis. attempt tells this letter from others of the call. false: Redis failed. */
RF_NODISCARD bool dead_send_call(const char *call_sid, struct stream_id attempt, const struct db_error *error,
                                 redisContext *redis, const struct key_space *keys);

/* The entry as a JSON object of its fields. Bytes that are no UTF-8 are written as \u0080 to \u00ff.
 * malloc'd; NULL when memory is out. */
char *dead_entry_json(const redisReply *pairs);
