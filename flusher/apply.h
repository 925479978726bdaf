/* The one transaction that writes a batch of ended calls to Postgres. */
#pragma once
#include "flusher/batch.h"
#include "flusher/database.h"

struct apply {
    PGconn *postgres;
    redisContext *redis;
    const struct key_space *keys;
    uint64_t dead, gaps; /* counted over the life of this struct; after a commit only */
};

enum apply_result {
    APPLY_COMMITTED,
    APPLY_NO_REDIS,    /* dead entries could not be kept; rolled back */
    APPLY_NO_POSTGRES, /* error says why; rolled back, or if the connection is lost unknown: the
                          ledger knows, the same calls may simply be applied again */
};

/* Writes what is in the calls' journals and not in Postgres yet. calls are in order of sid, each
 * once, none live. Entries that Postgres refuses go to the dead stream, the others are written. */
RF_NODISCARD enum apply_result apply_calls(struct apply *apply, struct flush_call *calls, size_t count,
                                           struct db_error *error);
