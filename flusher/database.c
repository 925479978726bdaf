#include "flusher/database.h"

#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

/* What the server remarks (not errors) belongs in our log, not bare on stderr. */
static void on_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug(NULL, "database remark", log_str("message", message));
}

PGconn *db_connect(const char *url, const char *options, struct db_error *error)
{
    /* Later keywords win: what stands in the URI overrides what stands before it. */
    const char *const keys[] = {"application_name", "connect_timeout", "tcp_user_timeout", "options", "dbname", NULL};
    const char *const values[] = {"flusher", "5", "15000", options, url, NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    if (conn && PQstatus(conn) == CONNECTION_OK) {
        PQsetNoticeProcessor(conn, on_notice, NULL);
        return conn;
    }
    db_error_set(conn, NULL, error);
    PQfinish(conn);
    return NULL;
}

void db_error_set(PGconn *conn, const PGresult *result, struct db_error *error)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!text)
        text = conn ? PQerrorMessage(conn) : "out of memory";
    snprintf(error->sqlstate, sizeof error->sqlstate, "%s", sqlstate ? sqlstate : "");
    snprintf(error->message, sizeof error->message, "%.*s", (int)strcspn(text, "\n"), text);
}

bool db_check(PGconn *conn, PGresult *result, struct db_error *error)
{
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
    if (!ok)
        db_error_set(conn, result, error);
    PQclear(result);
    return ok;
}

bool db_run(PGconn *conn, const char *text, struct db_error *error)
{
    return db_check(conn, PQexec(conn, text), error);
}

enum pg_fault db_fault(const struct db_error *error)
{
    return pg_fault_of(error->sqlstate);
}
