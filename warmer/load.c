#include "warmer/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/pipeline.h"
#include "warmer_sql.h"

_Static_assert(ARRAY_LEN(warmer_sql) == LOAD_STATEMENT_COUNT + 1, "one number for each file in warmer/sql");

/* Both take call_sid, from, to, direction. */
enum { PARAMETER_COUNT = 4 };
static const char *const nothing_required[] = {NULL};
static const char *const required_columns[] = {"business_id", NULL};

struct load_pool {
    struct warmer *w;
    struct load_statements sql;
    struct pg_pipeline **connections;
    size_t count;
};

/* One load under way. */
struct load {
    struct warmer *w;
    struct context *into;
    load_fn *fn;
    void *arg;
    int64_t began_us;
    bool open;
    char call_sid[CALL_SID_SIZE];
};

static void log_failure(const struct load *load, const char *statement, const PGresult *result)
{
    static struct log_limit limit;
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (log_allow(&limit))
        log_error(load->call_sid, "statement failed", log_str("statement", statement), log_str("sqlstate", sqlstate),
                  log_str("error", message ? message : "no usable answer"),
                  log_int("suppressed", limit.suppressed));
}

static void take_columns(struct load *load, const PGresult *row)
{
    for (int i = 0; i < PQnfields(row); i++) {
        if (PQgetisnull(row, 0, i) || context_set(load->into, PQfname(row, i), PQgetvalue(row, 0, i)) == 0)
            continue;
        metric_add(&load->w->metrics.fields_dropped, 1);
        log_warn(load->call_sid, "no room in the context", log_str("field", PQfname(row, i)),
                 log_int("bytes", PQgetlength(row, 0, i)));
    }
}

static bool opened(struct load *load, const PGresult *result)
{
    if (PQresultStatus(result) != PGRES_FATAL_ERROR)
        return true;
    metric_add(&load->w->metrics.open_failed, 1);
    log_failure(load, "open_call", result);
    return false;
}

static enum load_outcome outcome_of(struct load *load, const PGresult *row)
{
    int business;
    if (PQresultStatus(row) != PGRES_TUPLES_OK || PQntuples(row) > 1) {
        log_failure(load, "load_call_context", row);
        return LOAD_FAILED;
    }
    business = PQfnumber(row, required_columns[0]);
    if (PQntuples(row) == 0 || PQgetisnull(row, 0, business))
        return LOAD_UNKNOWN;
    take_columns(load, row);
    return LOAD_FOUND;
}

static void on_answer(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    bool is_open = results && load->open && opened(load, results[0]);
    /* Without results the connection logged why. */
    enum load_outcome outcome = results ? outcome_of(load, results[load->open]) : LOAD_FAILED;
    if (outcome == LOAD_FAILED)
        metric_add(&load->w->metrics.load_failed, 1);
    else
        metric_observe_us(&load->w->metrics.load_seconds, clock_mono_us() - load->began_us);
    load->fn(outcome, is_open, load->arg);
    free(load);
}

static struct pg_pipeline *least_busy(const struct load_pool *pool)
{
    struct pg_pipeline *best = NULL;
    for (size_t i = 0; i < pool->count; i++) {
        struct pg_pipeline *one = pool->connections[i];
        if (pg_pipeline_up(one) && (!best || pg_pipeline_waiting(one) < pg_pipeline_waiting(best)))
            best = one;
    }
    return best;
}

int load_call(struct load_pool *pool, const struct load_call *call, struct context *into, load_fn *fn, void *arg)
{
    const char *params[PARAMETER_COUNT] = {call->call_sid, call->from, call->to, call->direction};
    const struct pg_query queries[] = {{OPEN_CALL, params}, {LOAD_CALL_CONTEXT, params}};
    struct pg_pipeline *connection = least_busy(pool);
    struct load *load = connection ? malloc(sizeof *load) : NULL;
    if (load) {
        *load = (struct load){.w = pool->w, .into = into, .fn = fn, .arg = arg, .began_us = clock_mono_us(),
                              .open = call->open};
        strncpy(load->call_sid, call->call_sid, sizeof load->call_sid - 1);
        if (pg_pipeline_submit(connection, call->open ? queries : queries + 1, call->open ? 2 : 1, on_answer, load) == 0)
            return 0;
    }
    free(load);
    metric_add(&pool->w->metrics.load_unsent, 1);
    return -1;
}

size_t load_pool_connections_up(const struct load_pool *pool)
{
    size_t up = 0;
    for (size_t i = 0; i < pool->count; i++)
        up += pg_pipeline_up(pool->connections[i]);
    return up;
}

static bool connect_all(struct load_pool *pool, struct resolver *resolver)
{
    const struct pg_pipeline_spec spec = {.base = pool->w->base, .resolver = resolver,
                                          .url = pool->w->config.database_url, .application_name = "warmer",
                                          .statements = pool->sql.prepared, .statement_count = LOAD_STATEMENT_COUNT};
    size_t wanted = (size_t)pool->w->config.db_connections;
    pool->connections = calloc(wanted, sizeof *pool->connections);
    if (!pool->connections)
        return false;
    while (pool->count < wanted && (pool->connections[pool->count] = pg_pipeline_new(&spec)))
        pool->count++;
    return pool->count == wanted;
}

bool load_statements_read(struct load_statements *s, const char *sql_dir)
{
    static const char *const *const columns[LOAD_STATEMENT_COUNT] = {nothing_required, required_columns};
    char error[512];
    if (statements_load(s->statements, LOAD_STATEMENT_COUNT, warmer_sql, sql_dir, error, sizeof error) != 0) {
        log_error(NULL, "SQL cannot be read", log_str("error", error));
        return false;
    }
    for (size_t i = 0; i < LOAD_STATEMENT_COUNT; i++) {
        s->prepared[i] = (struct pg_prepared){&s->statements[i], PARAMETER_COUNT, columns[i]};
        if (s->statements[i].overridden)
            log_info(NULL, "SQL overridden", log_str("statement", s->statements[i].name));
    }
    return true;
}

void load_statements_release(struct load_statements *s)
{
    statements_release(s->statements, LOAD_STATEMENT_COUNT);
}

struct load_pool *load_pool_new(struct warmer *w, struct resolver *resolver)
{
    struct load_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->w = w;
    if (!load_statements_read(&pool->sql, w->config.sql_dir) || !connect_all(pool, resolver)) {
        load_pool_free(pool);
        return NULL;
    }
    return pool;
}

void load_pool_free(struct load_pool *pool)
{
    if (!pool)
        return;
    for (size_t i = 0; i < pool->count; i++)
        pg_pipeline_free(pool->connections[i]);
    free(pool->connections);
    load_statements_release(&pool->sql);
    free(pool);
}
