/* The ledger (call_flush): how far each call's journals are in Postgres. Its rows are taken first and
 * move with the rows they vouch for, so a call is written by one transaction at a time, and once. */
#pragma once
#include "flusher/batch.h"
#include "flusher/database.h"

/* Begins the transaction, makes the calls' ledger rows ours, and learns where each call stands: fills is_new,
 * mark and target. calls are in order of sid, each once. impatient: the transaction waits for no lock as long as usual. */
RF_NODISCARD bool ledger_take(PGconn *conn, bool impatient, struct flush_call *calls, size_t count, struct db_error *error);

/* Moves the rows of calls that were there before to their targets; the new ones are there already.
 * The first is for a pipeline, and its result comes at the pipeline's end. */
RF_NODISCARD bool ledger_send_move(PGconn *conn, const struct flush_call *calls, size_t count, struct db_error *error);
RF_NODISCARD bool ledger_move(PGconn *conn, const struct flush_call *calls, size_t count, struct db_error *error);

/* Whether the entry is one that the call's mark does not cover. */
bool ledger_lacks(const struct flush_call *call, const struct journal_entry *entry);
