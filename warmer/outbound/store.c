#include "warmer/outbound/store.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/pg/pipeline.h"
#include "warmer_outbound_sql.h"

enum { PARAMETER_COUNT = 9 };

static const char *const required_columns[] = {"refused", "business_id", "from_number", "to_number", "carrier", NULL};

struct outbound_store {
    struct warmer *w;
    struct store_statement sql;
    struct pg_pipeline *connection;
};

struct opening {
    struct outbound_store *store;
    store_opened_fn *fn;
    void *arg;
    char call_sid[CALL_SID_SIZE];
};

static json_t *row_of(const PGresult *result)
{
    json_t *row = PQntuples(result) == 1 ? json_object() : NULL;
    for (int i = 0; row && i < PQnfields(result); i++) {
        if (!PQgetisnull(result, 0, i) &&
            json_object_set_new(row, PQfname(result, i), json_string(PQgetvalue(result, 0, i))) != 0)
            json_decref(row), row = NULL;
    }
    return row;
}

static void on_opened(PGresult *const *results, void *arg)
{
    struct opening *o = arg;
    PGresult *result = results ? results[0] : NULL;
    json_t *row = result && PQresultStatus(result) == PGRES_TUPLES_OK ? row_of(result) : NULL;
    if (!row) {
        metric_add(&o->store->w->metrics.open_failed, 1);
        log_error(o->call_sid, "statement failed", log_str("statement", o->store->sql.statement.name),
                  log_str("sqlstate", result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL),
                  log_str("error", result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : "connection lost"));
    }
    o->fn(row, o->arg);
    free(o);
}

int store_open(struct outbound_store *store, const struct store_opening *call, store_opened_fn *fn, void *arg)
{
    const char *const params[PARAMETER_COUNT] = {call->call_sid, call->business, call->agent, call->driver_id, call->lead_id,
                                                 call->to, call->purpose, call->context, call->scheduled_at};
    const struct pg_query query = {0, params};
    struct opening *o = calloc(1, sizeof *o);
    if (!o)
        return -1;
    *o = (struct opening){.store = store, .fn = fn, .arg = arg};
    strcpy(o->call_sid, call->call_sid);
    if (pg_pipeline_submit(store->connection, &query, 1, on_opened, o) == 0)
        return 0;
    free(o);
    return -1;
}

bool store_statement_read(struct store_statement *out, const char *sql_dir)
{
    char error[512];
    if (statements_load(&out->statement, 1, warmer_outbound_sql, sql_dir, error, sizeof error) != 0) {
        log_error(NULL, "SQL cannot be read", log_str("error", error));
        return false;
    }
    out->prepared = (struct pg_prepared){&out->statement, PARAMETER_COUNT, required_columns};
    if (out->statement.overridden)
        log_info(NULL, "SQL overridden", log_str("statement", out->statement.name));
    return true;
}

struct outbound_store *store_new(struct warmer *w, struct resolver *resolver)
{
    struct outbound_store *store = calloc(1, sizeof *store);
    struct pg_pipeline_spec spec = {.base = w->base, .resolver = resolver, .url = w->config.database_url,
                                    .application_name = "warmer-outbound", .statement_count = 1};
    if (!store)
        return NULL;
    store->w = w;
    spec.statements = &store->sql.prepared;
    if (store_statement_read(&store->sql, w->config.sql_dir) && (store->connection = pg_pipeline_new(&spec)))
        return store;
    store_free(store);
    return NULL;
}

void store_free(struct outbound_store *store)
{
    if (!store)
        return;
    pg_pipeline_free(store->connection);
    statements_release(&store->sql.statement, 1);
    free(store);
}
