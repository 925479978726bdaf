#include "warmer/load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/pg/pipeline.h"
#include "warmer/unrecorded.h"
#include "warmer_sql.h"

_Static_assert(ARRAY_LEN(warmer_sql) == LOAD_STATEMENT_COUNT + 1, "one number for each file in warmer/sql");

/* All take call_sid, from, to, direction. */
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
    load_fn *fn; /* NULL once all is told */
    void *arg;
    int64_t began_us, began_ms;
    enum load_outcome outcome;
    bool early;    /* the facts are told first */
    bool booking;  /* the answer to load_booked_times is still to come */
    bool opening;  /* the answer to open_call is */
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
    char rows[64];
    snprintf(rows, sizeof rows, "%d rows instead of one", PQntuples(result));
    if (log_allow(&limit))
        log_error(load->call_sid, "statement failed", log_str("statement", statement), log_str("sqlstate", sqlstate),
                  log_str("error", message ? message : PQntuples(result) > 1 ? rows : "no usable answer"),
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

/* A row, or none. */
static bool usable(const PGresult *row)
{
    return PQresultStatus(row) == PGRES_TUPLES_OK && PQntuples(row) <= 1;
}

static enum load_outcome outcome_of(struct load *load, const PGresult *row)
{
    int business;
    if (!usable(row)) {
        log_failure(load, "load_call_context", row);
        return LOAD_FAILED;
    }
    business = PQfnumber(row, required_columns[0]);
    if (PQntuples(row) == 0 || PQgetisnull(row, 0, business))
        return LOAD_UNKNOWN;
    take_columns(load, row);
    return LOAD_FOUND;
}

static void tell(struct load *load, enum load_outcome outcome, bool is_open)
{
    load_fn *fn = load->fn;
    if (outcome != LOAD_FACTS)
        load->fn = NULL;
    load->promised = is_open;
    fn(outcome, is_open, load->arg);
}

/* Somebody who calls for the first time is known once the call is opened. */
static bool awaits_lead(const struct load *load)
{
    return load->opening && !*context_get(load->into, "lead_id");
}

static void tell_found(struct load *load)
{
    if (!load->booking && !awaits_lead(load))
        tell(load, LOAD_FOUND, load->opening);
}

static void free_if_over(struct load *load)
{
    if (!load->booking && !load->opening)
        load_free(load);
}

/* Without results, here and below, the connection logged why. */
static void on_loaded(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    load->outcome = results ? outcome_of(load, results[0]) : LOAD_FAILED;
    if (load->outcome == LOAD_FAILED)
        metric_add(&load->w->metrics.load_failed, 1);
    else
        metric_observe_us(&load->w->metrics.load_seconds, clock_mono_us() - load->began_us);
    if (load->outcome != LOAD_FOUND)
        tell(load, load->outcome, load->opening && load->outcome != LOAD_FAILED);
    else if (load->early && (load->booking || awaits_lead(load)))
        tell(load, LOAD_FACTS, load->opening);
    else
        tell_found(load);
    free_if_over(load);
}

/* Workers are told rather than left to think that all times are free. */
static void miss_booked_times(struct load *load, const PGresult *result)
{
    metric_add(&load->w->metrics.booked_failed, 1);
    if (result)
        log_failure(load, "load_booked_times", result);
    if (!*context_get(load->into, "booked_slots") && context_set(load->into, "booked_slots_missing", "1") != 0)
        metric_add(&load->w->metrics.fields_dropped, 1);
}

/* Behind the load. */
static void on_booked(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    load->booking = false;
    if (load->outcome == LOAD_FOUND) {
        if (!results || !usable(results[0]))
            miss_booked_times(load, results ? results[0] : NULL);
        else if (PQntuples(results[0]) == 1)
            take_columns(load, results[0]);
        tell_found(load);
    }
    free_if_over(load);
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

/* What fails takes what is behind it with it. */
static bool open_alone(struct load *load)
{
    const char *params[PARAMETER_COUNT] = {load->call_sid, load->from, load->to, load->direction};
    struct pg_pipeline *connection = least_busy(load->w->loads);
    return connection && pg_pipeline_submit(connection, &(struct pg_query){OPEN_CALL, params}, 1, on_opened, load) == 0;
}

/* Behind the others, on the same connection: they were answered before. */
static void on_opened(PGresult *const *results, void *arg)
{
    struct load *load = arg;
    ExecStatusType status = results ? PQresultStatus(results[0]) : PGRES_FATAL_ERROR;
    bool good = status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK, promised = load->promised;
    if (status == PGRES_PIPELINE_ABORTED && open_alone(load))
        return;
    if (!good)
        metric_add(&load->w->metrics.open_failed, 1);
    if (results && (!good || PQntuples(results[0]) > 1))
        log_failure(load, "open_call", results[0]);
    if (load->fn) {
        if (good && PQntuples(results[0]) == 1)
            take_columns(load, results[0]);
        tell(load, LOAD_FOUND, good);
    }
    if (!good && promised && load->outcome == LOAD_FOUND)
        unrecorded_note(load->w, load->call_sid, load->from, load->to, load->direction, load->began_ms);
    load_free(load);
}

static int submit(struct pg_pipeline *connection, struct load *load, const char *const *params)
{
    struct pg_link links[LOAD_STATEMENT_COUNT];
    size_t count = 0;
    links[count++] = (struct pg_link){{LOAD_CALL_CONTEXT, params}, on_loaded};
    if (load->booking)
        links[count++] = (struct pg_link){{LOAD_BOOKED_TIMES, params}, on_booked};
    if (load->opening)
        links[count++] = (struct pg_link){{OPEN_CALL, params}, on_opened};
    return pg_pipeline_submit_chain(connection, links, count, load);
}

int load_call(struct load_pool *pool, const struct load_call *call, struct context *into, load_fn *fn, void *arg)
{
    const char *params[PARAMETER_COUNT] = {call->call_sid, call->from, call->to, call->direction};
    struct pg_pipeline *connection = least_busy(pool);
    struct load *load = connection ? load_new(pool->w, call) : NULL;
    if (load) {
        load->into = into;
        load->fn = fn;
        load->arg = arg;
        load->early = call->early;
        load->booking = pool->sql.used > LOAD_BOOKED_TIMES;
        load->opening = call->open;
        if (submit(connection, load, params) == 0)
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
                                          .statements = pool->sql.prepared, .statement_count = pool->sql.used};
    size_t wanted = (size_t)pool->w->config.db_connections;
    pool->connections = calloc(wanted, sizeof *pool->connections);
    if (!pool->connections)
        return false;
    while (pool->count < wanted && (pool->connections[pool->count] = pg_pipeline_new(&spec)))
        pool->count++;
    return pool->count == wanted;
}

/* The built-in one knows the tables of the built-in load, and no others; an empty one says that there is nothing to load. */
static bool loads_booked_times(const struct statement *statements)
{
    const struct statement *booked = &statements[LOAD_BOOKED_TIMES];
    return booked->overridden ? booked->text[strspn(booked->text, " \t\r\n")] != '\0'
                              : !statements[LOAD_CALL_CONTEXT].overridden;
}

bool load_statements_read(struct load_statements *s, const char *sql_dir)
{
    static const char *const *const columns[LOAD_STATEMENT_COUNT] = {nothing_required, required_columns, nothing_required};
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
    s->used = LOAD_STATEMENT_COUNT - !loads_booked_times(s->statements);
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
