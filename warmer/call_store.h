/* Calls in Postgres, as far as they are no callers': the attempts we record before we dial, and what became of calls
 * that have left Redis. One connection beside those of the warm path, so that a batch keeps no caller waiting. */
#pragma once
#include <jansson.h>

#include "common/base/resolve.h"
#include "common/pg/prepared.h"
#include "warmer/warmer.h"

struct call_store;

/* Borrowed for the call of call_store_open. */
struct call_opening {
    const char *call_sid, *business;
    const char *agent, *driver_id, *lead_id, *to, *purpose, *context, *scheduled_at; /* NULL: not given */
};

/* NULL, with a log line, when the SQL cannot be read or memory is out. */
RF_NODISCARD struct call_store *call_store_new(struct warmer *w, struct resolver *resolver);

/* Those who wait are told that the database is away before this returns. Accepts NULL. */
void call_store_free(struct call_store *store);

/* rows: of the statement, as objects of texts, without what is null; the caller's to release. NULL: the database could
 * not be asked, or had no usable answer; it may have happened. */
typedef void call_store_fn(json_t *rows, void *arg);

/* Both call fn exactly once, never from inside. -1, without calling it: the database is away, or too much is under
 * way. open_outbound_call.sql has one row, find_call.sql one or none. */
RF_NODISCARD int call_store_open(struct call_store *store, const struct call_opening *call, call_store_fn *fn, void *arg);
RF_NODISCARD int call_store_find(struct call_store *store, const char *call_sid, call_store_fn *fn, void *arg);

/* Whether anything here is needed: who neither dials nor takes reports has no such connection. */
bool call_store_wanted(const struct warmer_config *config);

/* The statements that the settings need, and what is wanted of them; also for `warmer --check`. false, with a log line:
 * they cannot be read. Release in both cases. */
enum call_statement { OPEN_OUTBOUND_CALL, FIND_CALL, CALL_STATEMENT_COUNT };
struct call_statements {
    struct statement texts[CALL_STATEMENT_COUNT];
    struct pg_prepared used[CALL_STATEMENT_COUNT]; /* points to the former: not to be moved */
    size_t used_count;
    size_t place[CALL_STATEMENT_COUNT]; /* of each among the used */
};
RF_NODISCARD bool call_statements_read(struct call_statements *out, const struct warmer_config *config);
void call_statements_release(struct call_statements *statements);
