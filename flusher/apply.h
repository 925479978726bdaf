/* The one transaction that writes a batch of ended calls to Postgres. */
#pragma once
#include "flusher/batch.h"
#include "flusher/database.h"
#include "flusher/jobs/note.h"
#include "flusher/turn_copy.h"

struct apply {
    PGconn *postgres;
    redisContext *redis;
    const struct key_space *keys;
    bool impatient;        /* locks are not waited for as long as usual */
    bool copy_turns;       /* large batches may bring their turns by COPY: apply_turn.sql is the built-in one */
    struct turn_copy copy;
    struct note note;      /* what is left for the jobs after the call */
    uint64_t dead, gaps;   /* counted up; after a commit only */
    bool _copy_failed;     /* in the batch under way */
};

void apply_release(struct apply *apply);

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

/* Applies one entry and notes what is left to do, in a transaction that the caller has begun, whatever the ledger
 * says. */
RF_NODISCARD bool apply_entry(PGconn *conn, const struct note *note, struct flush_call *call,
                              const struct journal_entry *entry, struct db_error *error);
