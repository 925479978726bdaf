#include "flusher/database.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/base/log.h"
#include "common/pg/session.h"
#include "common/pg/sqlstate.h"
#include "flusher/sql.h"

enum { PARAMS_MAX = 16 };

/* What the server remarks (not errors) belongs in our log, not bare on stderr. */
static void on_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug(NULL, "database remark", log_str("message", message));
}

PGconn *db_connect(const char *url, const char *options, struct db_error *error)
{
    /* Later keywords win: what stands in the URI overrides what stands before it. The timeouts bound
     * how long a server that vanished without a word can hold us. */
    static const char *const keys[] = {"application_name", "connect_timeout",     "tcp_user_timeout", "keepalives_idle",
                                       "keepalives_count", "keepalives_interval", "dbname",           "options",
                                       NULL};
    char *all_options = pg_session_options(url, options);
    const char *const values[] = {"flusher", "5", "15000", "10", "3", "5", url, all_options, NULL};
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    free(all_options);
    if (conn && PQstatus(conn) == CONNECTION_OK) {
        PQsetNoticeProcessor(conn, on_notice, NULL);
        return conn;
    }
    db_error_set(conn, NULL, error);
    PQfinish(conn);
    return NULL;
}

/* Servers from version 14 on report both with the connection. */
bool db_writable(PGconn *conn, struct db_error *error)
{
    static const char *const names[] = {"in_hot_standby", "default_transaction_read_only"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = PQparameterStatus(conn, names[i]);
        if (value && strcmp(value, "on") == 0) {
            snprintf(error->sqlstate, sizeof error->sqlstate, "25006");
            snprintf(error->message, sizeof error->message, "the server takes no writes: %s", names[i]);
            return false;
        }
    }
    return true;
}

bool db_idle(PGconn *conn)
{
    return PQstatus(conn) == CONNECTION_OK && PQpipelineStatus(conn) == PQ_PIPELINE_OFF &&
           PQtransactionStatus(conn) == PQTRANS_IDLE;
}

bool db_prepare(PGconn *conn, const struct statement *statements, size_t count, struct db_error *error)
{
    bool sent = true;
    db_pipeline_begin(conn);
    for (size_t i = 0; i < count && sent; i++) {
        const Oid *types;
        int params = sql_parameters(statements[i].name, &types);
        sent = PQsendPrepare(conn, statements[i].name, statements[i].text, params, types) == 1;
    }
    if (db_pipeline_end(conn, NULL, NULL, error))
        return sent || db_out_of_memory(error);
    if (error->answered < count)
        db_error_name(error, statements[error->answered].name);
    return false;
}

void db_error_set(PGconn *conn, const PGresult *result, struct db_error *error)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!text)
        text = conn ? PQerrorMessage(conn) : "out of memory";
    snprintf(error->sqlstate, sizeof error->sqlstate, "%s", sqlstate ? sqlstate : "");
    snprintf(error->message, sizeof error->message, "%.*s%s", (int)strcspn(text, "\n"), text,
             pg_shared_session_advice(sqlstate));
    error->statement[0] = '\0';
    error->answered = 0;
}

void db_error_name(struct db_error *error, const char *statement)
{
    if (*error->sqlstate)
        snprintf(error->statement, sizeof error->statement, "%s", statement);
}

static bool succeeded(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

bool db_check(PGconn *conn, PGresult *result, struct db_error *error)
{
    bool ok = succeeded(result);
    if (!ok)
        db_error_set(conn, result, error);
    PQclear(result);
    return ok;
}

/* What it would answer next is not known: it is as good as lost, and libpq is to find that out. */
static void break_off(PGconn *conn)
{
    if (PQsocket(conn) >= 0)
        shutdown(PQsocket(conn), SHUT_RDWR);
}

bool db_run(PGconn *conn, const char *text, struct db_error *error)
{
    return db_check(conn, PQexec(conn, text), error);
}

bool db_out_of_memory(struct db_error *error)
{
    *error = (struct db_error){.message = "out of memory"};
    return false;
}

bool db_params_ok(const struct pgarray *params, int count, struct db_error *error)
{
    for (int i = 0; i < count; i++) {
        if (params[i].failed)
            return db_out_of_memory(error);
    }
    return true;
}

void db_params_release(struct pgarray *params, int count)
{
    for (int i = 0; i < count; i++)
        pgarray_release(&params[i]);
}

static void give_rows(const PGresult *result, db_rows_fn *on_rows, void *arg)
{
    if (on_rows && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) > 0)
        on_rows(result, arg);
}

/* Where libpq wants its parameters: all arrays are binary. */
struct params {
    const char *values[PARAMS_MAX];
    int lengths[PARAMS_MAX];
    int formats[PARAMS_MAX];
};

static void params_fill(struct params *p, const struct pgarray *arrays, int count)
{
    for (int i = 0; i < count; i++) {
        p->values[i] = arrays[i].bytes;
        p->lengths[i] = (int)arrays[i].len;
        p->formats[i] = 1;
    }
}

bool db_execute(PGconn *conn, const char *name, const struct pgarray *params, int count, db_rows_fn *on_rows,
                void *arg, struct db_error *error)
{
    struct params p;
    PGresult *result;
    params_fill(&p, params, count);
    result = PQexecPrepared(conn, name, count, p.values, p.lengths, p.formats, 0);
    give_rows(result, on_rows, arg);
    return db_check(conn, result, error);
}

void db_pipeline_begin(PGconn *conn)
{
    PQenterPipelineMode(conn);
}

bool db_send(PGconn *conn, const char *name, const struct pgarray *params, int count)
{
    struct params p;
    params_fill(&p, params, count);
    return PQsendQueryPrepared(conn, name, count, p.values, p.lengths, p.formats, 0) == 1;
}

bool db_send_text(PGconn *conn, const char *text)
{
    return PQsendQueryParams(conn, text, 0, NULL, NULL, NULL, NULL, 0) == 1;
}

/* After each statement's results comes one NULL, after the last one the sync. Two NULLs in a row
 * mean that the connection is lost and nothing more will come. */
bool db_pipeline_end(PGconn *conn, db_rows_fn *on_rows, void *arg, struct db_error *error)
{
    bool ok = PQpipelineSync(conn) == 1, synced = false;
    size_t answered = 0;
    int nulls = 0;
    if (!ok) {
        db_error_set(conn, NULL, error);
        break_off(conn); /* or we would wait for ever for the answer to a sync that was not sent */
    }
    while (!synced && nulls < 2) {
        PGresult *result = PQgetResult(conn);
        nulls = result ? 0 : nulls + 1;
        synced = result && PQresultStatus(result) == PGRES_PIPELINE_SYNC;
        if (result && pg_answer_lost(result))
            break_off(conn); /* the lost answer may be the sync's */
        if (result && !synced && ok) {
            ok = succeeded(result);
            if (!ok)
                db_error_set(conn, result, error);
            if (!ok)
                error->answered = answered;
            answered++;
            give_rows(result, on_rows, arg);
        }
        PQclear(result);
    }
    if (ok && (!synced || !PQexitPipelineMode(conn))) {
        db_error_set(conn, NULL, error);
        ok = false;
    } else if (!ok && synced) {
        PQexitPipelineMode(conn);
    }
    return ok;
}
