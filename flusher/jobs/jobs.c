#include "flusher/jobs/jobs.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/base/resolve.h"
#include "common/http/client.h"
#include "flusher/jobs/attempt.h"
#include "flusher/jobs/spool.h"
#include "flusher/jobs/store.h"

#define METRIC_STRUCT struct jobs_metrics
static const struct metric_row metric_rows[] = {JOBS_METRICS(METRIC_ROW)};

enum {
    TICK_MS = 200,
    LOOK_MS = 1000,         /* between looks for jobs, where there were none */
    MEASURE_MS = 5000,
    SPOOL_MS = 60000,
    STOP_GRACE_MS = 10000,  /* for jobs under way to end by themselves */
    STOP_LIMIT_MS = 15000,  /* then for the database to be told; below the program's own limit */
};

struct claim {
    struct jobs *jobs;
    enum job_kind kind;
    bool wanted, asking;
    int asked;           /* jobs that were asked for */
    int64_t next_ms;
};

struct jobs {
    const struct flusher_config *config;
    struct job_statements statements;
    struct store store;
    struct jobs_metrics metrics;
    int wake_fd, ended_fd;
    pthread_t thread;
    bool started;
    /* the rest belongs to the thread */
    struct event_base *base;
    struct event *tick, *wake;
    struct resolver *resolver;
    struct bench bench;
    struct claim claims[JOB_KIND_COUNT];
    int64_t measure_ms, spool_ms, stopping_ms;
    bool measuring;
};

/* -- taking ----------------------------------------------------------------------------------------- */

static void on_claimed(PGresult *const *results, void *arg)
{
    struct claim *c = arg;
    const PGresult *rows = results ? results[0] : NULL;
    bool ok = rows && PQresultStatus(rows) == PGRES_TUPLES_OK;
    c->asking = false;
    if (rows && !ok)
        log_error(NULL, "jobs cannot be taken", log_str("error", PQresultErrorField(rows, PG_DIAG_MESSAGE_PRIMARY)));
    for (int row = 0; ok && row < PQntuples(rows); row++) {
        if (!attempt_begin(&c->jobs->bench, c->kind, rows, row))
            log_error(NULL, "a job waits for its lease: out of memory");
    }
    if (!ok || PQntuples(rows) < c->asked)
        c->next_ms = clock_mono_ms() + LOOK_MS;
}

static void take(struct jobs *j, struct claim *c)
{
    char most[12], lease[24];
    const char *params[] = {j->bench.owner, job_trades[c->kind]->name, most, lease};
    int64_t now = clock_mono_ms();
    c->asked = job_trades[c->kind]->most - j->bench.running[c->kind];
    if (!c->wanted || c->asking || c->asked <= 0 || now < c->next_ms || now < j->bench.rests_until_ms[c->kind])
        return;
    snprintf(most, sizeof most, "%d", c->asked);
    snprintf(lease, sizeof lease, "%lld", (long long)j->config->job_lease_seconds * 1000);
    c->asking = pg_pipeline_submit(j->bench.pg, &(struct pg_query){j->statements.place[JOB_SQL_CLAIM], params}, 1,
                                   on_claimed, c) == 0;
}

static void on_measured(PGresult *const *results, void *arg)
{
    struct jobs *j = arg;
    const PGresult *rows = results ? results[0] : NULL;
    j->measuring = false;
    if (!rows || PQresultStatus(rows) != PGRES_TUPLES_OK)
        return;
    metric_set(&j->metrics.waiting, strtoull(job_value(rows, "waiting"), NULL, 10));
    metric_set(&j->metrics.dead, strtoull(job_value(rows, "dead"), NULL, 10));
    metric_set(&j->metrics.delay_seconds, strtoull(job_value(rows, "delay_s"), NULL, 10));
}

static void measure(struct jobs *j)
{
    int64_t now = clock_mono_ms();
    uint64_t running = 0, resting = 0;
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++) {
        running += (uint64_t)j->bench.running[kind];
        resting += now < j->bench.rests_until_ms[kind];
    }
    metric_set(&j->metrics.running, running);
    metric_set(&j->metrics.resting, resting);
    metric_set(&j->metrics.postgres_up, pg_pipeline_up(j->bench.pg));
    if (j->measuring || now < j->measure_ms)
        return;
    j->measure_ms = now + MEASURE_MS;
    j->measuring = pg_pipeline_submit(j->bench.pg, &(struct pg_query){j->statements.place[JOB_SQL_MEASURE], NULL}, 1,
                                      on_measured, j) == 0;
}

static void tidy(struct jobs *j)
{
    int64_t now = clock_mono_ms();
    if (!j->bench.shop.store || now < j->spool_ms)
        return;
    j->spool_ms = now + SPOOL_MS;
    spool_tidy(&j->store, j->config->recording_spool_mb * 1000000, &j->metrics);
}

/* -- the thread ------------------------------------------------------------------------------------- */

static bool has_ended(struct jobs *j)
{
    int64_t since = clock_mono_ms() - j->stopping_ms;
    if (!j->bench.attempts || since > STOP_LIMIT_MS)
        return true;
    if (since > STOP_GRACE_MS)
        attempts_give_back(&j->bench);
    return false;
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct jobs *j = arg;
    (void)fd;
    (void)what;
    if (j->stopping_ms && has_ended(j)) {
        event_base_loopbreak(j->base);
        return;
    }
    attempts_tend(&j->bench);
    for (int kind = 0; kind < JOB_KIND_COUNT && !j->stopping_ms; kind++)
        take(j, &j->claims[kind]);
    measure(j);
    tidy(j);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
    struct jobs *j = arg;
    eventfd_t count;
    (void)what;
    eventfd_read(fd, &count);
    if (!j->stopping_ms)
        j->stopping_ms = clock_mono_ms();
}

static void *run(void *arg)
{
    struct jobs *j = arg;
    event_base_dispatch(j->base);
    pg_pipeline_free(j->bench.pg); /* tells who still waits for it */
    j->bench.pg = NULL;
    attempts_free(&j->bench);
    eventfd_write(j->ended_fd, 1);
    return NULL;
}

/* Signals belong to the main thread. */
bool jobs_start(struct jobs *j)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    j->started = pthread_create(&j->thread, NULL, run, j) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return j->started;
}

void jobs_stop(struct jobs *j)
{
    eventfd_write(j->wake_fd, 1);
}

int jobs_ended_fd(const struct jobs *j)
{
    return j->ended_fd;
}

/* -- making ----------------------------------------------------------------------------------------- */

static void name_owner(char *out, size_t size, const char *consumer)
{
    char host[200] = "flusher", nonce[9];
    gethostname(host, sizeof host - 1);
    random_hex(nonce, 4);
    snprintf(out, size, "%.200s.%s", *consumer ? consumer : host, nonce);
}

static bool make_loop(struct jobs *j)
{
    static const struct timeval tick = {0, TICK_MS * 1000};
    j->wake_fd = eventfd(0, EFD_CLOEXEC);
    j->ended_fd = eventfd(0, EFD_CLOEXEC);
    j->base = event_base_new();
    if (!j->base || j->wake_fd < 0 || j->ended_fd < 0)
        return false;
    j->tick = event_new(j->base, -1, EV_PERSIST, on_tick, j);
    j->wake = event_new(j->base, j->wake_fd, EV_READ | EV_PERSIST, on_wake, j);
    j->resolver = resolver_new(j->base);
    j->bench.shop.http = http_client_new(j->base);
    return j->tick && j->wake && j->resolver && j->bench.shop.http && event_add(j->tick, &tick) == 0 &&
           event_add(j->wake, NULL) == 0;
}

static bool make_bench(struct jobs *j)
{
    struct pg_pipeline_spec spec = {.base = j->base,
                                    .resolver = j->resolver,
                                    .url = j->config->database_url,
                                    .application_name = "flusher-jobs",
                                    .statements = j->statements.used,
                                    .statement_count = j->statements.used_count};
    const bool wanted[JOB_KIND_COUNT] = {jobs_want_recordings(j->config), jobs_want_transcripts(j->config),
                                         jobs_want_hooks(j->config)};
    for (int kind = 0; kind < JOB_KIND_COUNT; kind++)
        j->claims[kind] = (struct claim){.jobs = j, .kind = (enum job_kind)kind, .wanted = wanted[kind]};
    j->bench.shop.config = j->config;
    j->bench.shop.store = *j->config->recording_store ? &j->store : NULL;
    j->bench.shop.metrics = &j->metrics;
    j->bench.statements = &j->statements;
    name_owner(j->bench.owner, sizeof j->bench.owner, j->config->consumer);
    j->bench.pg = pg_pipeline_new(&spec);
    return j->bench.pg != NULL;
}

struct jobs *jobs_new(const struct flusher_config *config, char *error, size_t error_size)
{
    struct jobs *j = calloc(1, sizeof *j);
    snprintf(error, error_size, "out of memory or descriptors");
    if (!j)
        return NULL;
    j->config = config;
    j->wake_fd = j->ended_fd = -1;
    if (!job_statements_load(&j->statements, config, error, error_size) ||
        !store_open(&j->store, config, error, error_size) || !make_loop(j) || !make_bench(j)) {
        jobs_free(j);
        return NULL;
    }
    return j;
}

void jobs_free(struct jobs *j)
{
    if (!j)
        return;
    if (j->started)
        pthread_join(j->thread, NULL);
    pg_pipeline_free(j->bench.pg);
    attempts_free(&j->bench);
    http_client_free(j->bench.shop.http);
    if (j->tick)
        event_free(j->tick);
    if (j->wake)
        event_free(j->wake);
    if (j->base)
        event_base_loop(j->base, EVLOOP_NONBLOCK); /* of cancelled look-ups (resolve.h) */
    if (j->resolver)
        resolver_free(j->resolver);
    if (j->base)
        event_base_free(j->base);
    job_statements_release(&j->statements);
    if (j->wake_fd >= 0)
        close(j->wake_fd);
    if (j->ended_fd >= 0)
        close(j->ended_fd);
    free(j);
}

/* -- for the admin port ------------------------------------------------------------------------------ */

const char *jobs_not_ready(void *jobs)
{
    const struct jobs *j = jobs;
    return metric_get(&j->metrics.postgres_up)
               ? NULL
               : "the jobs are not connected to Postgres, or its schema does not fit; the log says why";
}

void jobs_print_metrics(struct evbuffer *out, void *jobs)
{
    const struct jobs *j = jobs;
    metrics_print(out, metric_rows, ARRAY_LEN(metric_rows), &j->metrics);
}
