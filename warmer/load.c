#include "warmer/load.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/pipeline.h"
#include "warmer/unrecorded.h"
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
    load_fn *fn; /* NULL once told */
    void *arg;
    int64_t began_us, began_ms;
    enum load_outcome outcome;
    bool opening;  /* the answer to open_call is still to come */
    bool promised; /* fn was told that the call is opened */
    char *call_sid, *from, *to, *direction;
};

static void load_free(struct load *load)
{
    free(load->call_sid);
    free(load->from);
    free(load->to);
    free(load->direction);
    free(load);
}

static struct load *load_new(struct warmer *w, const struct load_call *call)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return NULL;
    load->w = w;
    load->began_us = clock_mono_us();
    load->began_ms = clock_wall_ms();
    load->call_sid = strdup(call->call_sid);
    load->from = strdup(call->from);
    load->to = strdup(call->to);
    load->direction = strdup(call->direction);
    if (load->call_sid && load->from && load->to && load->direction)
        return load;
    load_free(load);
    return NULL;
}

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

static void tell(struct load *load, bool is_open)
{
    load_fn *fn = load->fn;
    load->fn = NULL;
    load->promised = is_open;
    fn(load->outcome, is_open, load->arg);
}

/* Somebody who calls for the first time is known once the call is opened. */
static bool lacks_lead(const struct load *load)
{
    return load->outcome == LOAD_FOUND && !*context_get(load->into, "lead_id");
}

static void on_loaded(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    /* Without results the connection logged why. */
    load->outcome = results ? outcome_of(load, results[0]) : LOAD_FAILED;
    if (load->outcome == LOAD_FAILED)
        metric_add(&load->w->metrics.load_failed, 1);
    else
        metric_observe_us(&load->w->metrics.load_seconds, clock_mono_us() - load->began_us);
    if (load->opening && lacks_lead(load))
        return;
    tell(load, load->opening && load->outcome != LOAD_FAILED);
    if (!load->opening)
        load_free(load);
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

static void on_opened(PGresult *const *results, void *arg);

/* A load that fails takes what is behind it with it. */
static bool open_alone(struct load *load)
{
    const char *params[PARAMETER_COUNT] = {load->call_sid, load->from, load->to, load->direction};
    struct pg_pipeline *connection = least_busy(load->w->loads);
    return connection && pg_pipeline_submit(connection, &(struct pg_query){OPEN_CALL, params}, 1, on_opened, load) == 0;
}

/* Behind the load, on the same connection: that was answered before. */
static void on_opened(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    ExecStatusType status = results ? PQresultStatus(results[0]) : PGRES_FATAL_ERROR;
    bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK;
    if (status == PGRES_PIPELINE_ABORTED && open_alone(load))
        return;
    if (!good)
        metric_add(&load->w->metrics.open_failed, 1);
    if (results && !good)
        log_failure(load, "open_call", results[0]);
    if (load->fn) {
        if (good && PQntuples(results[0]) == 1)
            take_columns(load, results[0]);
        tell(load, good);
    } else if (!good && load->promised && load->outcome == LOAD_FOUND) {
        unrecorded_note(load->w, load->call_sid, load->from, load->to, load->direction, load->began_ms);
    }
    load_free(load);
}

int load_call(struct load_pool *pool, const struct load_call *call, struct context *into, load_fn *fn, void *arg)
{
    const char *params[PARAMETER_COUNT] = {call->call_sid, call->from, call->to, call->direction};
    const struct pg_query query_load = {LOAD_CALL_CONTEXT, params}, query_open = {OPEN_CALL, params};
    struct pg_pipeline *connection = least_busy(pool);
    struct load *load = connection ? load_new(pool->w, call) : NULL;
    if (load) {
        load->into = into;
        load->fn = fn;
        load->arg = arg;
        load->opening = call->open;
        if ((call->open ? pg_pipeline_submit_pair(connection, &query_load, on_loaded, &query_open, on_opened, load)
                        : pg_pipeline_submit(connection, &query_load, 1, on_loaded, load)) == 0)
            return 0;
        load_free(load);
    }
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
