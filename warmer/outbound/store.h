/* The calls we dial, in Postgres: one connection beside those of the warm path, so that a batch keeps no caller
 * waiting. */
#pragma once
#include <jansson.h>

#include "common/base/resolve.h"
#include "common/pg/prepared.h"
#include "warmer/warmer.h"

struct outbound_store;

/* Borrowed for the call of store_open. */
struct store_opening {
    const char *call_sid, *business;
    const char *agent, *driver_id, *lead_id, *to, *purpose, *context, *scheduled_at; /* NULL: not given */
};

/* row: every column of open_outbound_call.sql that is not null, as texts; the caller's to release. NULL: the
 * database could not be asked; it may have happened. */
typedef void store_opened_fn(json_t *row, void *arg);

/* NULL, with a log line, when the SQL cannot be read or memory is out. */
RF_NODISCARD struct outbound_store *store_new(struct warmer *w, struct resolver *resolver);

/* Those who wait are told NULL before this returns. Accepts NULL. */
void store_free(struct outbound_store *store);

/* fn is called exactly once, never from inside. -1, without calling fn: the database is away, or too much is
 * under way. */
RF_NODISCARD int store_open(struct outbound_store *store, const struct store_opening *call, store_opened_fn *fn, void *arg);

/* The statement and what is wanted of it, for `warmer --check`. false, with a log line: it cannot be read. */
struct store_statement {
    struct statement statement;
    struct pg_prepared prepared;
};
RF_NODISCARD bool store_statement_read(struct store_statement *out, const char *sql_dir);
