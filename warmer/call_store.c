#include "warmer/call_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/pg/pipeline.h"
#include "common/pg/sqlstate.h"
#include "warmer/outbound/provider.h"
#include "warmer_calls_sql.h"

enum { BOOLEAN_OID = 16 }; /* pg_type.dat */
static const char UNIQUE_VIOLATION[] = "23505";
static const char *const opened_columns[] = {"refused", "business_id", "from_number", "to_number", "carrier", NULL};
static const char *const found_columns[] = {"status", "conversation_id", "provider_call_sid", "spoken", NULL};

static const struct {
    int params;
    const char *const *columns;
} wanted[CALL_STATEMENT_COUNT] = {
    [OPEN_OUTBOUND_CALL] = {9, opened_columns},
    [FIND_CALL] = {1, found_columns},
};

struct call_store {
    struct warmer *w;
    struct call_statements sql;
    struct pg_pipeline *connection;
};

struct asking {
    struct call_store *store;
    enum call_statement statement;
    call_store_fn *fn;
    void *arg;
    char call_sid[CALL_SID_SIZE];
};

/* A boolean as Postgres casts it to text, not as it prints it. */
static const char *text_of(const PGresult *result, int number, int column)
{
    const char *value = PQgetvalue(result, number, column);
    if (PQftype(result, column) == BOOLEAN_OID)
        return *value == 't' ? "true" : "false";
    return value;
}

static json_t *row_of(const PGresult *result, int number)
{
    json_t *row = json_object();
    for (int i = 0; row && i < PQnfields(result); i++) {
        if (!PQgetisnull(result, number, i))
            json_object_set_new(row, PQfname(result, i), json_string(text_of(result, number, i)));
    }
    return row;
}

static json_t *rows_of(const PGresult *result)
{
    json_t *rows = json_array();
    for (int i = 0; rows && i < PQntuples(result); i++)
        json_array_append_new(rows, row_of(result, i));
    return rows;
}

/* Opening says one thing of a call; there may be none to be found. */
static bool usable(enum call_statement statement, const PGresult *result)
{
    int rows = PQntuples(result);
    return PQresultStatus(result) == PGRES_TUPLES_OK && (rows == 1 || (rows == 0 && statement == FIND_CALL));
}

static void log_failure(const struct asking *a, const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    char rows[64];
    snprintf(rows, sizeof rows, "%d rows instead of one", PQntuples(result));
    log_error(a->call_sid, "statement failed", log_str("statement", a->store->sql.texts[a->statement].name),
              log_str("sqlstate", PQresultErrorField(result, PG_DIAG_SQLSTATE)),
              log_str("error", !result ? "connection lost" : message ? message : rows));
}

/* The database takes this one as little the next time (common/pg/sqlstate.h): asking again would not help. Only of two
 * requests at once that made the same row, one has made it. */
static bool refuses(enum call_statement statement, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    return statement == OPEN_OUTBOUND_CALL && pg_fault_of(sqlstate) == PG_FAULT_DATA && strcmp(sqlstate, UNIQUE_VIOLATION) != 0;
}

static void on_answer(PGresult *const *results, void *arg)
{
    struct asking *a = arg;
    const PGresult *result = results ? results[0] : NULL;
    json_t *rows = usable(a->statement, result) ? rows_of(result) : NULL;
    if (!rows) {
        if (a->statement == OPEN_OUTBOUND_CALL)
            metric_add(&a->store->w->metrics.open_failed, 1);
        log_failure(a, result);
    }
    if (refuses(a->statement, result))
        rows = json_pack("[{s:s}]", "refused", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    a->fn(rows, a->arg);
    free(a);
}

static int submit(struct call_store *store, enum call_statement statement, const char *const *params, call_store_fn *fn, void *arg)
{
    const struct pg_query query = {store->sql.place[statement], params};
    struct asking *a = calloc(1, sizeof *a);
    if (!a)
        return -1;
    *a = (struct asking){.store = store, .statement = statement, .fn = fn, .arg = arg};
    strcpy(a->call_sid, params[0]);
    if (pg_pipeline_submit(store->connection, &query, 1, on_answer, a) == 0)
        return 0;
    free(a);
    return -1;
}

int call_store_open(struct call_store *store, const struct call_opening *call, call_store_fn *fn, void *arg)
{
    const char *const params[] = {call->call_sid, call->business, call->agent, call->driver_id, call->lead_id,
                                  call->to, call->purpose, call->context, call->scheduled_at};
    return submit(store, OPEN_OUTBOUND_CALL, params, fn, arg);
}

int call_store_find(struct call_store *store, const char *call_sid, call_store_fn *fn, void *arg)
{
    return submit(store, FIND_CALL, &call_sid, fn, arg);
}

static bool dials(const struct warmer_config *config)
{
    return provider_any(config);
}

bool call_store_wanted(const struct warmer_config *config)
{
    return dials(config) || *config->elevenlabs_webhook_secret;
}

bool call_statements_read(struct call_statements *out, const struct warmer_config *config)
{
    const bool needed[CALL_STATEMENT_COUNT] = {dials(config), call_store_wanted(config)};
    char error[512];
    out->used_count = 0;
    if (statements_load(out->texts, CALL_STATEMENT_COUNT, warmer_calls_sql, config->sql_dir, error, sizeof error) != 0) {
        log_error(NULL, "SQL cannot be read", log_str("error", error));
        return false;
    }
    for (size_t i = 0; i < CALL_STATEMENT_COUNT; i++) {
        out->place[i] = out->used_count;
        if (!needed[i])
            continue;
        out->used[out->used_count++] = (struct pg_prepared){&out->texts[i], wanted[i].params, wanted[i].columns};
        if (out->texts[i].overridden)
            log_info(NULL, "SQL overridden", log_str("statement", out->texts[i].name));
    }
    return true;
}

void call_statements_release(struct call_statements *statements)
{
    statements_release(statements->texts, CALL_STATEMENT_COUNT);
}

struct call_store *call_store_new(struct warmer *w, struct resolver *resolver)
{
    struct call_store *store = calloc(1, sizeof *store);
    struct pg_pipeline_spec spec = {.base = w->base, .resolver = resolver, .url = w->config.database_url,
                                    .application_name = "warmer-calls"};
    if (!store)
        return NULL;
    store->w = w;
    if (call_statements_read(&store->sql, &w->config)) {
        spec.statements = store->sql.used;
        spec.statement_count = store->sql.used_count;
        store->connection = pg_pipeline_new(&spec);
    }
    if (store->connection)
        return store;
    call_store_free(store);
    return NULL;
}

void call_store_free(struct call_store *store)
{
    if (!store)
        return;
    pg_pipeline_free(store->connection);
    call_statements_release(&store->sql);
    free(store);
}
