/* The connection to Postgres: blocking, for one thread. */
#pragma once
#include <libpq-fe.h>

#include "common/base/base.h"
#include "common/pg/sqlstate.h"
#include "common/pg/statements.h"
#include "flusher/pgarray.h"

/* What Postgres, or the connection, said against a statement. */
struct db_error {
    char sqlstate[6]; /* "" when the connection is gone */
    char message[512];
    char statement[64]; /* which one of several; "": it is not known */
    size_t answered;    /* statements of the round trip that succeeded before it */
};

/* url is a libpq URI; options ("-c name=value ...", or "") are defaults that the URI overrides.
 * NULL, with one sentence in error. Free with PQfinish. */
RF_NODISCARD PGconn *db_connect(const char *url, const char *options, struct db_error *error);

/* Whether the server takes writes: a standby, or one that was set read-only, does not. Asks nothing. */
RF_NODISCARD bool db_writable(PGconn *conn, struct db_error *error);

/* Whether the connection is as good as new: connected, in no transaction. */
bool db_idle(PGconn *conn);

/* Prepares each statement under its name, in one round trip. */
RF_NODISCARD bool db_prepare(PGconn *conn, const struct statement *statements, size_t count, struct db_error *error);

/* Runs text as it stands (several statements are allowed). */
RF_NODISCARD bool db_run(PGconn *conn, const char *text, struct db_error *error);

/* Takes the result and clears it. true if it is a success; else error says why not. */
RF_NODISCARD bool db_check(PGconn *conn, PGresult *result, struct db_error *error);

/* Fills error from a result that failed (NULL: the connection's own message). */
void db_error_set(PGconn *conn, const PGresult *result, struct db_error *error);

/* The statement that failed is this one; not of a connection that is gone. */
void db_error_name(struct db_error *error, const char *statement);

/* Whether all arrays are whole; else error says that memory is out. */
RF_NODISCARD bool db_params_ok(const struct pgarray *params, int count, struct db_error *error);
void db_params_release(struct pgarray *params, int count);

/* Says that memory is out. Returns false. */
bool db_out_of_memory(struct db_error *error);

/* Called with the result of each statement that returned rows. */
typedef void db_rows_fn(const PGresult *rows, void *arg);

/* Runs a prepared statement whose parameters are these arrays. */
RF_NODISCARD bool db_execute(PGconn *conn, const char *name, const struct pgarray *params, int count,
                             db_rows_fn *on_rows, void *arg, struct db_error *error);

/* Several statements in one round trip. Between begin and end only db_send and db_send_text are
 * allowed, and the server does not run the statements after one that failed. A send that is false (out
 * of memory, connection lost) must not be followed by one that commits; the end is called in any case. */
void db_pipeline_begin(PGconn *conn);
RF_NODISCARD bool db_send(PGconn *conn, const char *name, const struct pgarray *params, int count);
RF_NODISCARD bool db_send_text(PGconn *conn, const char *text);
RF_NODISCARD bool db_pipeline_end(PGconn *conn, db_rows_fn *on_rows, void *arg, struct db_error *error);
