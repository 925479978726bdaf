/* The connection to Postgres: blocking, for one thread. */
#pragma once
#include <libpq-fe.h>

#include "common/base/base.h"
#include "common/pg/sqlstate.h"

/* What Postgres, or the connection, said against a statement. */
struct db_error {
    char sqlstate[6]; /* "" when the connection is gone */
    char message[512];
};

/* url is a libpq URI; options ("-c name=value ...", or "") are defaults that the URI overrides.
 * NULL, with one sentence in error. Free with PQfinish. */
RF_NODISCARD PGconn *db_connect(const char *url, const char *options, struct db_error *error);

/* Runs text as it stands (several statements are allowed). */
RF_NODISCARD bool db_run(PGconn *conn, const char *text, struct db_error *error);

/* Takes the result and clears it. true if it is a success; else error says why not. */
RF_NODISCARD bool db_check(PGconn *conn, PGresult *result, struct db_error *error);

/* Fills error from a result that failed (NULL: the connection's own message). */
void db_error_set(PGconn *conn, const PGresult *result, struct db_error *error);

/* Whose fault it was. */
enum pg_fault db_fault(const struct db_error *error);
