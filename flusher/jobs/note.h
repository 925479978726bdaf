/* What a flush leaves for the jobs, in its own transaction: a recording to fetch, a business to tell. So none is lost
 * and none is made up, wherever a process dies. */
#pragma once
#include "flusher/database.h"
#include "flusher/selection.h"

struct flusher_config;

struct note {
    const struct flusher_config *config; /* borrowed */
    bool recordings, hooks;
};

struct note note_wanted(const struct flusher_config *config);

/* Prepares the statement if it is wanted. */
RF_NODISCARD bool note_prepare(const struct note *note, PGconn *conn, const struct flusher_config *config,
                               struct db_error *error);

/* Inside the transaction; the first is for a pipeline. Each call gets a hook with its first flush. What was refused of
 * the selection is left out. */
RF_NODISCARD bool note_send(const struct note *note, PGconn *conn, const struct selection *selection,
                            const struct flush_call *calls, size_t count, struct db_error *error);
RF_NODISCARD bool note_run(const struct note *note, PGconn *conn, const struct selection *selection,
                           const struct dead_list *refused, const struct flush_call *calls, size_t count,
                           struct db_error *error);

/* The same for one entry that is applied after all. */
RF_NODISCARD bool note_entry(const struct note *note, PGconn *conn, const struct pick *pick, struct db_error *error);
