#include "flusher/lane.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "flusher/delivery.h"
#include "flusher/reach.h"
#include "flusher/retry.h"
#include "flusher/sweep.h"

enum {
    READ_WAIT_MS = 1000, /* of a lane that does not sweep */
    REST_MS = 1000,      /* the longest rest, so that sweeps go on while Postgres is away */
    FITS_MS = 10000,     /* between two looks at statements of which one does not fit */
    PAUSE_FIRST_MS = 10, /* between two looks at a cluster that had nothing, */
    PAUSE_LAST_MS = 160, /* which nobody can wait for: a blocking read sees one slot */
};

/* A statement that waits for somebody's lock gives up; so nothing hangs for ever. */
static const char session_options[] = "-c lock_timeout=10s -c statement_timeout=60s "
                                      "-c idle_in_transaction_session_timeout=60s";

struct lane {
    const struct lane_spec *spec;
    int number;
    char consumer[320];
    struct flusher_metrics metrics;
    _Atomic int64_t asked_ms; /* clock_mono_ms: a transaction is with Postgres since then; 0: none is */
    pthread_t thread;
    bool started;
    /* the rest belongs to the thread */
    struct ended *ended;
    struct sweep sweep;
    struct reach *reach;
    struct redis_shard *shard; /* whose turn it is, connected */
    bool served, waited; /* in this round: calls were looked for; and that took its time */
    int64_t pause_ms;
    PGconn *postgres;
    struct retry postgres_retry;
    int64_t fits_ms; /* from when on it is looked again whether the statements fit, if one does not: clock_mono_ms */
    size_t most;    /* calls at once: halved when that is too much, doubled when it goes well */
    struct delivery delivery;
};

static bool stopping(const struct lane *l)
{
    return atomic_load(l->spec->stopping);
}

/* -- connections, tried again with exponential back-off and jitter ---------------------------- */

/* Until then, or a stop. */
static void rest_until(struct lane *l, int64_t until_ms)
{
    struct pollfd wake = {.fd = l->spec->wake_fd, .events = POLLIN};
    int64_t wait = until_ms - clock_mono_ms();
    if (wait > 0)
        poll(&wake, 1, (int)(wait < REST_MS ? wait : REST_MS));
}

static void redis_lost(struct lane *l)
{
    reach_lost(l->reach, l->shard);
}

static void give_up(const struct lane *l)
{
    atomic_store(l->spec->misfit, true);
    atomic_store(l->spec->stopping, true);
    eventfd_write(l->spec->wake_fd, 1);
}

static void postgres_lost(struct lane *l)
{
    PQfinish(l->postgres);
    l->postgres = NULL;
    metric_set(&l->metrics.postgres_up, 0);
}

static const char misfit[] = "a statement does not fit the database; all wait for one that does (flusher check tells more)";

static bool postgres_ready(struct lane *l)
{
    struct db_error error = {0};
    if (!retry_due(&l->postgres_retry))
        return false;
    if (l->postgres)
        return true;
    l->postgres = db_connect(l->spec->config->database_url, session_options, &error);
    if (l->postgres && db_writable(l->postgres, &error) &&
        db_prepare(l->postgres, l->spec->sql->statements, l->spec->sql->count, &error) &&
        note_prepare(&l->delivery.apply.note, l->postgres, l->spec->config, &error)) {
        l->delivery.apply.copy_turns = !sql_named(l->spec->sql, "apply_turn")->overridden;
        metric_set(&l->metrics.postgres_up, 1);
        log_info(NULL, "Postgres connected");
        return true;
    }
    log_error(NULL, *pg_shared_session_advice(error.sqlstate)           ? "the session of Postgres is another's"
                    : pg_fault_of(error.sqlstate) == PG_FAULT_SERVER ? "Postgres is away" : misfit,
              log_str("statement", error.statement), log_str("error", error.message), log_str("sqlstate", error.sqlstate));
    postgres_lost(l);
    retry_later(&l->postgres_retry);
    return false;
}

/* A call waits since a statement does not fit the database. Whether that is so for every call is seen when they are
 * prepared anew: then all wait, and the flusher is not ready. */
static bool statements_fit(struct lane *l)
{
    if (clock_mono_ms() < l->fits_ms)
        return true;
    l->fits_ms = clock_mono_ms() + FITS_MS;
    postgres_lost(l);
    if (postgres_ready(l))
        return true;
    ended_rewind(l->ended);
    return false;
}

/* A transaction that was crossed by another one; the connection is as good as before. */
static bool crossed(const struct lane *l, const struct db_error *error)
{
    static const char *const codes[] = {"40001", "40P01"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (strcmp(error->sqlstate, codes[i]) == 0)
            return db_idle(l->postgres);
    }
    return false;
}

/* Nothing was acknowledged: the calls stay ours and are read again when the time has come. */
static void delivery_failed(struct lane *l, const struct db_error *error)
{
    metric_add(&l->metrics.failures, 1);
    log_error(NULL, pg_fault_of(error->sqlstate) == PG_FAULT_SCHEMA ? misfit : "a flush failed; it will be repeated",
              log_str("statement", error->statement), log_str("error", error->message), log_str("sqlstate", error->sqlstate));
    if (!crossed(l, error))
        postgres_lost(l);
    retry_later(&l->postgres_retry);
    ended_rewind(l->ended);
}

/* -- ended calls ------------------------------------------------------------------------------ */

static enum delivery_result deliver(struct lane *l, const struct ended_entry *entries, size_t count)
{
    struct db_error error = {0};
    enum delivery_result result;
    l->delivery.apply.postgres = l->postgres;
    l->delivery.apply.redis = l->shard->redis;
    result = delivery_make(&l->delivery, entries, count, &error);
    if (l->delivery.committed)
        l->postgres_retry.failures = 0;
    if (result == DELIVERY_NO_REDIS)
        redis_lost(l);
    else if (result == DELIVERY_NO_MEMORY)
        (void)db_out_of_memory(&error);
    if (result == DELIVERY_NO_POSTGRES || result == DELIVERY_NO_MEMORY)
        delivery_failed(l, &error);
    else if (result == DELIVERY_MADE && pg_fault_of(error.sqlstate) == PG_FAULT_SCHEMA)
        result = statements_fit(l) ? DELIVERY_MADE : DELIVERY_NO_POSTGRES;
    else if (strcmp(error.sqlstate, PG_LOCK_NOT_AVAILABLE) == 0)
        l->delivery.apply.impatient = true; /* up to the end of what is at hand */
    return result;
}

/* Only lane 0 sweeps. */
static bool sweep(struct lane *l)
{
    bool ok = l->number != 0 || sweep_run(&l->sweep, l->shard);
    if (!ok)
        redis_lost(l);
    return ok;
}

/* What is too much at once is tried in halves, down to the calls that do not go through at all: those stay pending, the
 * others do not wait for them. Up to the end of what was too much nothing larger is tried. */
static void deliver_all(struct lane *l, const struct ended_list *list)
{
    size_t batch_calls = (size_t)l->spec->config->batch_calls, doubtful = 0, n;
    bool ok = true;
    l->delivery.apply.impatient = false;
    for (size_t i = 0; i < list->count && ok && !stopping(l); ok = ok && sweep(l)) {
        n = list->count - i < l->most ? list->count - i : l->most;
        switch (deliver(l, list->entries + i, n)) {
        case DELIVERY_MADE:
            i += n;
            if (l->delivery.committed && i >= doubtful)
                l->most = 2 * l->most < batch_calls ? 2 * l->most : batch_calls;
            break;
        case DELIVERY_TOO_MUCH:
            doubtful = i + n;
            l->most = n / 2;
            break;
        case DELIVERY_NO_REDIS:
        case DELIVERY_NO_POSTGRES:
        case DELIVERY_NO_MEMORY:
            ok = false;
        }
    }
}

static int by_sid_then_id(const void *a, const void *b)
{
    const struct ended_entry *x = a, *y = b;
    int order = strcmp(x->sid, y->sid);
    return order ? order : stream_id_compare(x->id, y->id);
}

static void flush_next(struct lane *l)
{
    struct ended_list list;
    bool ok = ended_read(l->ended, l->shard, l->number == 0 ? sweep_wait_ms(&l->sweep, l->shard) : READ_WAIT_MS, &list);
    l->served = true;
    l->waited = l->waited || l->shard->alone || list.count > 0;
    if (!ok)
        redis_lost(l);
    else
        reach_worked(l->reach, l->shard);
    if (ok && list.count > 0) {
        qsort(list.entries, list.count, sizeof *list.entries, by_sid_then_id);
        deliver_all(l, &list);
    }
    ended_list_release(&list);
}

/* -- the thread ------------------------------------------------------------------------------- */

static void serve(struct lane *l, int i)
{
    l->shard = reach_shard(l->reach, i);
    if (reach_renewed(l->reach)) {
        ended_rewind(l->ended);
        sweep_begin_again(&l->sweep);
    }
    if (!l->shard)
        return;
    if (sweep(l) && postgres_ready(l))
        flush_next(l);
}

/* Until the next thing can be tried; in a cluster, where nothing was found, for a moment. */
static void rest(struct lane *l)
{
    int64_t until = reach_next_ms(l->reach), now = clock_mono_ms();
    if (l->waited) {
        l->pause_ms = PAUSE_FIRST_MS;
        return;
    }
    if (l->served) {
        until = now + l->pause_ms;
        l->pause_ms = 2 * l->pause_ms < PAUSE_LAST_MS ? 2 * l->pause_ms : PAUSE_LAST_MS;
    } else if (!retry_due(&l->postgres_retry) && l->postgres_retry.next_ms < until) {
        until = l->postgres_retry.next_ms;
    }
    rest_until(l, until < now + REST_MS ? until : now + REST_MS);
}

static void leave(struct lane *l)
{
    for (int i = 0; i < reach_count(l->reach); i++) {
        struct redis_shard *shard = reach_connected(l->reach, i);
        if (shard && !ended_leave(l->ended, shard))
            log_warn(NULL, "the consumer's name stays in the group", log_str("consumer", l->consumer));
    }
}

static void *run(void *arg)
{
    struct lane *l = arg;
    while (!stopping(l)) {
        l->served = l->waited = false;
        reach_find(l->reach);
        for (int i = 0; i < reach_count(l->reach) && !stopping(l); i++)
            serve(l, i);
        if (reach_misfit(l->reach))
            give_up(l);
        rest(l);
    }
    leave(l);
    eventfd_write(l->spec->ended_fd, 1);
    return NULL;
}

struct lane *lane_new(const struct lane_spec *spec, int number, const char *consumer)
{
    struct lane *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->spec = spec;
    l->number = number;
    l->pause_ms = PAUSE_FIRST_MS;
    l->most = (size_t)spec->config->batch_calls;
    snprintf(l->consumer, sizeof l->consumer, "%s", consumer);
    l->ended = ended_new(spec->keys, l->consumer, spec->config->batch_calls, spec->config->claim_idle_ms,
                         &l->metrics.groups_made);
    l->sweep.keys = spec->keys;
    l->sweep.ended = l->ended;
    l->sweep.metrics = &l->metrics;
    l->sweep.reap_grace_ms = spec->config->reap_grace_ms;
    l->delivery = (struct delivery){.config = spec->config, .keys = spec->keys, .ended = l->ended, .metrics = &l->metrics,
                                    .asked_ms = &l->asked_ms};
    l->delivery.apply.keys = spec->keys;
    l->delivery.apply.note = note_wanted(spec->config);
    l->reach = reach_new(&(struct reach_spec){.url = spec->url, .keys = spec->keys, .consumer = l->consumer,
                                              .metrics = &l->metrics, .tells = number == 0});
    if (!sweep_init(&l->sweep) || !l->ended || !l->reach) {
        lane_free(l);
        return NULL;
    }
    return l;
}

/* Signals belong to the main thread: no call of this one shall be interrupted. */
bool lane_start(struct lane *lane)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    lane->started = pthread_create(&lane->thread, NULL, run, lane) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return lane->started;
}

void lane_free(struct lane *l)
{
    if (!l)
        return;
    if (l->started)
        pthread_join(l->thread, NULL);
    reach_free(l->reach);
    PQfinish(l->postgres);
    delivery_release(&l->delivery);
    ended_free(l->ended);
    sweep_release(&l->sweep);
    free(l);
}

const struct flusher_metrics *lane_metrics(const struct lane *lane)
{
    return &lane->metrics;
}

int64_t lane_delay_ms(const struct lane *lane)
{
    const int64_t since[] = {lane->sweep.waiting_since_ms, lane->asked_ms};
    int64_t delay_ms = reach_away_ms(lane->reach);
    for (size_t i = 0; i < ARRAY_LEN(since); i++) {
        if (since[i] && clock_mono_ms() - since[i] > delay_ms)
            delay_ms = clock_mono_ms() - since[i];
    }
    return delay_ms;
}
