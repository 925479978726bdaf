#include "flusher/jobs/attempt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/base/utf8.h"

enum { TEXT_SIZE = 501, DELAY_MAX_MS = 3600000, AWAY_MS = 1000, STRIKE_RETRIES = 30 };

const struct job_trade *const job_trades[JOB_KIND_COUNT] = {&recording_trade, &transcript_trade, &hook_trade};

struct attempt {
    struct job job; /* the first member: a job is its attempt */
    struct bench *bench;
    struct attempt *next, **link;
    enum job_kind kind;
    int number;
    char number_text[12];
    char *texts; /* what job points to */
    int asking;  /* answers of the database that are still to come */
    job_rows_fn *fn;
    int64_t renew_ms;
    bool ended, gone;
    /* once it has ended */
    const char *state;
    int64_t delay_ms;
    bool takes_back, writing;
    char text[TEXT_SIZE];
};

static struct attempt *attempt_of(struct job *job)
{
    return (struct attempt *)(void *)job;
}

static size_t place(const struct attempt *a, enum job_statement statement)
{
    return a->bench->statements->place[statement];
}

static void count(const struct attempt *a, const size_t offsets[JOB_KIND_COUNT])
{
    metric_add((metric_value *)(void *)((char *)a->bench->shop.metrics + offsets[a->kind]), 1);
}

#define OFFSETS(what)                                                                                    \
    {                                                                                                    \
        offsetof(struct jobs_metrics, what##_recording), offsetof(struct jobs_metrics, what##_transcript), \
            offsetof(struct jobs_metrics, what##_hook)                                                   \
    }
static const size_t done_counters[JOB_KIND_COUNT] = OFFSETS(done);
static const size_t failed_counters[JOB_KIND_COUNT] = OFFSETS(failed);

/* -- the end of an attempt's life ------------------------------------------------------------------ */

static void release(struct attempt *a)
{
    if (a->asking > 0) { /* the last answer frees it */
        a->gone = true;
        return;
    }
    *a->link = a->next;
    if (a->next)
        a->next->link = a->link;
    a->bench->running[a->kind]--;
    free(a->texts);
    free(a);
}

/* Another process has it: it came to a stop for longer than its lease. */
static void lose(struct attempt *a)
{
    if (a->gone)
        return;
    metric_add(&a->bench->shop.metrics->lost, 1);
    log_warn(a->job.call_sid, "a job was taken over by another process", log_str("job", job_trades[a->kind]->name),
             log_str("subject", a->job.subject));
    if (!a->ended)
        job_trades[a->kind]->abandon(&a->job);
    a->ended = true;
    release(a);
}

static bool is_ours(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
}

static void report(const struct attempt *a)
{
    const char *name = job_trades[a->kind]->name;
    if (strcmp(a->state, "done") == 0) {
        count(a, done_counters);
        log_info(a->job.call_sid, "job done", log_str("job", name), log_str("subject", a->job.subject),
                 log_int("attempt", a->number), log_str("result", a->text));
    } else if (strcmp(a->state, "dead") == 0) {
        log_error(a->job.call_sid, "job given up; flusher jobs lists it", log_str("job", name),
                  log_str("subject", a->job.subject), log_int("attempt", a->number), log_str("why", a->text));
    } else if (!a->takes_back) {
        log_warn(a->job.call_sid, "job failed, it is tried again", log_str("job", name),
                 log_str("subject", a->job.subject), log_int("attempt", a->number), log_int("retry_ms", a->delay_ms),
                 log_str("why", a->text));
    }
}

static void tell_refused(const struct attempt *a, const PGresult *result)
{
    static struct log_limit limit;
    if (log_allow(&limit))
        log_error(a->job.call_sid, "the end of a job cannot be written, it is tried again",
                  log_str("job", job_trades[a->kind]->name), log_str("subject", a->job.subject),
                  log_str("error", PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY)),
                  log_int("suppressed", limit.suppressed));
}

static void on_settled(PGresult *const *results, void *arg)
{
    struct attempt *a = arg;
    const PGresult *settled = results ? results[0] : NULL;
    a->asking--;
    a->writing = false;
    if (a->gone) {
        release(a);
    } else if (settled && PQresultStatus(settled) == PGRES_TUPLES_OK && !is_ours(settled)) {
        lose(a);
    } else if (settled && is_ours(settled)) {
        report(a);
        release(a);
    } else if (settled) {
        tell_refused(a, settled);
    } /* it is written again when it is tended */
}

/* A recording that is given up is told to the user's own table as well. */
static size_t add_lost(struct attempt *a, struct pg_query *queries, const char *params[3])
{
    if (a->kind != JOB_RECORDING || strcmp(a->state, "dead") != 0)
        return 0;
    params[0] = a->job.subject;
    params[1] = a->job.call_sid;
    params[2] = a->text;
    queries[0] = (struct pg_query){place(a, JOB_SQL_LOST), params};
    return 1;
}

static void write_end(struct attempt *a)
{
    char delay[24];
    const char *lost[3];
    const char *params[] = {job_trades[a->kind]->name, a->job.subject, a->bench->owner, a->number_text,
                            a->state, delay, a->takes_back ? "1" : "0", a->text};
    struct pg_query queries[2] = {{place(a, JOB_SQL_SETTLE), params}};
    size_t query_count = 1 + add_lost(a, queries + 1, lost);
    snprintf(delay, sizeof delay, "%lld", (long long)a->delay_ms);
    a->writing = pg_pipeline_submit(a->bench->pg, queries, query_count, on_settled, a) == 0;
    a->asking += a->writing;
}

static void end(struct job *job, const char *state, int64_t delay_ms, bool takes_back, const char *text)
{
    struct attempt *a = attempt_of(job);
    if (a->ended)
        return;
    a->ended = true;
    a->state = state;
    a->delay_ms = delay_ms;
    a->takes_back = takes_back;
    utf8_copy(a->text, sizeof a->text, text); /* before abandon: it may be the work's */
    job_trades[a->kind]->abandon(job);
    write_end(a);
}

void job_done(struct job *job, const char *result)
{
    end(job, "done", 0, false, result);
}

/* Half of it for sure, the other half by chance, so that what failed together does not come again together. */
static int64_t delay_after(const struct attempt *a, int64_t at_least_ms)
{
    int64_t delay = a->bench->shop.config->job_retry_ms;
    for (int i = 1; i < a->number && delay < DELAY_MAX_MS; i++)
        delay *= 2;
    delay = delay < DELAY_MAX_MS ? delay : DELAY_MAX_MS;
    delay = delay / 2 + random_below((uint32_t)delay / 2 + 1);
    at_least_ms = at_least_ms < DELAY_MAX_MS ? at_least_ms : DELAY_MAX_MS;
    return delay > at_least_ms ? delay : at_least_ms;
}

void job_again(struct job *job, int64_t at_least_ms, const char *why)
{
    struct attempt *a = attempt_of(job);
    count(a, failed_counters);
    if (a->number >= a->bench->shop.config->job_attempts)
        end(job, "dead", 0, false, why);
    else
        end(job, "waiting", delay_after(a, at_least_ms), false, why);
}

void job_dead(struct job *job, const char *why)
{
    count(attempt_of(job), failed_counters);
    end(job, "dead", 0, false, why);
}

void job_later(struct job *job, int64_t ms, const char *why)
{
    end(job, "waiting", ms, true, why);
}

void job_strike(struct job *job, const char *why)
{
    struct attempt *a = attempt_of(job);
    int64_t rest = a->bench->shop.config->job_retry_ms * STRIKE_RETRIES;
    rest = rest < DELAY_MAX_MS ? rest : DELAY_MAX_MS;
    a->bench->rests_until_ms[a->kind] = clock_mono_ms() + rest;
    count(a, failed_counters);
    log_error(job->call_sid, "jobs of this kind rest until somebody has seen to it",
              log_str("job", job_trades[a->kind]->name), log_str("why", why), log_int("rest_ms", rest));
    end(job, "waiting", rest, true, why);
}

/* -- questions ---------------------------------------------------------------------------------- */

static const PGresult *first_failed(PGresult *const *results, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ExecStatusType status = PQresultStatus(results[i]);
        if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
            return results[i];
    }
    return NULL;
}

/* Whoever's fault it is, it counts, so that what always fails is not tried for ever. An outage costs one attempt: to
 * take the job again is a write. */
static void failed(struct attempt *a, const PGresult *result)
{
    const char *text = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : "the connection to the database was lost";
    job_again(&a->job, 0, text ? text : "the database failed");
}

static size_t result_count(PGresult *const *results)
{
    size_t n = 0;
    while (n < PG_GROUP_MAX && results[n])
        n++;
    return n;
}

static void on_answer(PGresult *const *results, void *arg)
{
    struct attempt *a = arg;
    const PGresult *bad = results ? first_failed(results, result_count(results)) : NULL;
    a->asking--;
    if (a->gone)
        release(a);
    else if (a->ended)
        return;
    else if (!results || bad)
        failed(a, bad);
    else
        a->fn(&a->job, results);
}

static void ask(struct attempt *a, const struct pg_query *queries, size_t n, pg_group_fn *fn)
{
    if (pg_pipeline_submit(a->bench->pg, queries, n, fn, a) == 0)
        a->asking++;
    else
        job_later(&a->job, AWAY_MS, "the database is away");
}

void job_ask(struct job *job, const struct job_query *queries, size_t n, job_rows_fn *fn)
{
    struct attempt *a = attempt_of(job);
    struct pg_query whole[PG_GROUP_MAX];
    for (size_t i = 0; i < n && i < PG_GROUP_MAX; i++)
        whole[i] = (struct pg_query){place(a, queries[i].statement), queries[i].params};
    a->fn = fn;
    ask(a, whole, n, on_answer);
}

static void on_kept(PGresult *const *results, void *arg)
{
    struct attempt *a = arg;
    if (results && PQresultStatus(results[0]) == PGRES_TUPLES_OK && !is_ours(results[0])) {
        lose(a);
        a->asking--;
        if (a->gone)
            release(a);
        return;
    }
    on_answer(results, arg);
}

void job_keep(struct job *job, const char *progress, job_rows_fn *fn)
{
    struct attempt *a = attempt_of(job);
    const char *params[] = {job_trades[a->kind]->name, job->subject, a->bench->owner, a->number_text, progress};
    a->fn = fn;
    ask(a, &(struct pg_query){place(a, JOB_SQL_PROGRESS), params}, 1, on_kept);
}

const char *job_value(const PGresult *rows, const char *column)
{
    int number = PQfnumber(rows, column);
    return number >= 0 && PQntuples(rows) > 0 ? PQgetvalue(rows, 0, number) : "";
}

bool job_true(const PGresult *rows, const char *column)
{
    const char *value = job_value(rows, column);
    return strcmp(value, "t") == 0 || strcmp(value, "true") == 0;
}

/* -- leases --------------------------------------------------------------------------------------- */

static void on_renewed(PGresult *const *results, void *arg)
{
    struct attempt *a = arg;
    if (!a->ended && results && PQresultStatus(results[0]) == PGRES_TUPLES_OK && !is_ours(results[0]))
        lose(a);
    a->asking--;
    if (a->gone)
        release(a);
}

static void renew(struct attempt *a)
{
    char lease[24];
    int64_t lease_ms = a->bench->shop.config->job_lease_seconds * 1000;
    const char *params[] = {job_trades[a->kind]->name, a->job.subject, a->bench->owner, a->number_text, lease};
    snprintf(lease, sizeof lease, "%lld", (long long)lease_ms);
    if (pg_pipeline_submit(a->bench->pg, &(struct pg_query){place(a, JOB_SQL_RENEW), params}, 1, on_renewed, a) != 0)
        return;
    a->asking++;
    a->renew_ms = clock_mono_ms() + lease_ms / 3;
}

void attempts_tend(struct bench *bench)
{
    struct attempt *next;
    int64_t now = clock_mono_ms();
    for (struct attempt *a = bench->attempts; a; a = next) {
        next = a->next;
        if (a->ended && !a->writing && !a->gone)
            write_end(a);
        else if (!a->ended && now >= a->renew_ms)
            renew(a);
    }
}

void attempts_give_back(struct bench *bench)
{
    struct attempt *next;
    for (struct attempt *a = bench->attempts; a; a = next) {
        next = a->next;
        job_later(&a->job, 0, "the process that was at it has stopped");
    }
}

void attempts_free(struct bench *bench)
{
    while (bench->attempts) {
        struct attempt *a = bench->attempts;
        if (!a->ended)
            job_trades[a->kind]->abandon(&a->job);
        a->ended = true;
        a->asking = 0;
        release(a);
    }
}

/* -- the beginning -------------------------------------------------------------------------------- */

static const char *const columns[] = {"subject", "call_sid", "source", "progress", "day"};

/* One block for all texts of the row. */
static bool copy_texts(struct attempt *a, const PGresult *rows, int row)
{
    const char **places[] = {&a->job.subject, &a->job.call_sid, &a->job.source, &a->job.progress, &a->job.day};
    size_t size = 0;
    char *at;
    for (size_t i = 0; i < ARRAY_LEN(columns); i++)
        size += strlen(PQgetvalue(rows, row, PQfnumber(rows, columns[i]))) + 1;
    at = a->texts = malloc(size);
    for (size_t i = 0; at && i < ARRAY_LEN(columns); i++) {
        *places[i] = at;
        at = stpcpy(at, PQgetvalue(rows, row, PQfnumber(rows, columns[i]))) + 1;
    }
    return a->texts != NULL;
}

bool attempt_begin(struct bench *bench, enum job_kind kind, const PGresult *rows, int row)
{
    struct attempt *a = calloc(1, sizeof *a);
    if (!a || !copy_texts(a, rows, row)) {
        free(a);
        return false;
    }
    a->bench = bench;
    a->kind = kind;
    a->job.shop = &bench->shop;
    a->job.age_ms = strtoll(PQgetvalue(rows, row, PQfnumber(rows, "age_ms")), NULL, 10);
    a->number = atoi(PQgetvalue(rows, row, PQfnumber(rows, "attempts")));
    snprintf(a->number_text, sizeof a->number_text, "%d", a->number);
    a->renew_ms = clock_mono_ms() + bench->shop.config->job_lease_seconds * 1000 / 3;
    a->next = bench->attempts;
    if (a->next)
        a->next->link = &a->next;
    a->link = &bench->attempts;
    bench->attempts = a;
    bench->running[kind]++;
    /* Its process died in each attempt, so it may be the job that kills. */
    if (a->number > bench->shop.config->job_attempts)
        job_dead(&a->job, "every attempt was broken off");
    else if (!job_trades[kind]->begin(&a->job))
        job_later(&a->job, AWAY_MS, "out of memory");
    return true;
}
