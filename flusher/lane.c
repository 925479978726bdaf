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
#include "flusher/apply.h"
#include "flusher/dead.h"
#include "flusher/ended.h"
#include "flusher/reach.h"
#include "flusher/retry.h"
#include "flusher/sweep.h"

enum {
    READ_WAIT_MS = 1000, /* of a lane that does not sweep */
    REST_MS = 1000,      /* the longest rest, so that sweeps go on while Postgres is away */
    PAUSE_FIRST_MS = 10, /* between two looks at a cluster that had nothing, */
    PAUSE_LAST_MS = 160, /* which nobody can wait for: a blocking read sees one slot */
    ATTEMPTS_MAX = 5,    /* at a call on which Postgres fails without saying that an entry is at fault */
};

/* A statement that waits for somebody's lock gives up and is tried again; so nothing hangs for ever. */
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
    struct apply apply;
    struct reply_arena arena;
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
        note_prepare(&l->apply.note, l->postgres, l->spec->config, &error)) {
        l->apply.copy_turns = !sql_named(l->spec->sql, "apply_turn")->overridden;
        metric_set(&l->metrics.postgres_up, 1);
        log_info(NULL, "Postgres connected");
        return true;
    }
    log_error(NULL, pg_fault_of(error.sqlstate) == PG_FAULT_SCHEMA
                        ? "the statements do not fit the schema; flusher migrate brings the default one"
                        : "Postgres is away",
              log_str("error", error.message), log_str("sqlstate", error.sqlstate));
    postgres_lost(l);
    retry_later(&l->postgres_retry);
    return false;
}

/* A transaction that was crossed by another one; the connection is as good as before. */
static bool crossed(const struct lane *l, const struct db_error *error)
{
    static const char *const codes[] = {"40001", "40P01", "55P03"};
    for (size_t i = 0; i < ARRAY_LEN(codes); i++) {
        if (strcmp(error->sqlstate, codes[i]) == 0)
            return db_idle(l->postgres);
    }
    return false;
}

/* Nothing was acknowledged: the calls stay ours and are read again when the time has come. */
static void apply_failed(struct lane *l, const struct db_error *error)
{
    metric_add(&l->metrics.failures, 1);
    log_error(NULL, pg_fault_of(error->sqlstate) == PG_FAULT_SCHEMA ? "the statements do not fit the schema; waiting"
                                                                    : "a flush failed; it will be repeated",
              log_str("error", error->message), log_str("sqlstate", error->sqlstate));
    if (!crossed(l, error))
        postgres_lost(l);
    retry_later(&l->postgres_retry);
    ended_rewind(l->ended);
}

/* -- one batch -------------------------------------------------------------------------------- */

/* Calls that satisfy the test go to the front, in their order. Returns how many. */
static size_t to_front(struct flush_call *calls, size_t count, bool (*test)(const struct flush_call *call))
{
    size_t front = 0;
    for (size_t i = 0; i < count; i++) {
        if (!test(&calls[i]))
            continue;
        if (i != front) {
            struct flush_call swapped = calls[front];
            calls[front] = calls[i];
            calls[i] = swapped;
        }
        front++;
    }
    return front;
}

static bool is_over(const struct flush_call *call)
{
    return !call->live;
}

static bool has_entries(const struct flush_call *call)
{
    return call->journals[STREAM_WRITES].count + call->journals[STREAM_EVENTS].count > 0;
}

static bool is_applied(const struct flush_call *call)
{
    return !call->held;
}

static bool has_more(const struct flush_call *call)
{
    return call->more;
}

static struct ended_entry index_entry(const struct flush_call *call)
{
    struct ended_entry entry = {.id = call->index_id};
    memcpy(entry.sid, call->sid, sizeof entry.sid);
    return entry;
}

/* Iron rule: no commit in a live call. Its end will index it again, so its entry can go. */
static bool refuse_live(struct lane *l, const struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ended_entry entry = index_entry(&calls[i]);
        if (!ended_drop(l->ended, l->shard->redis, &entry))
            return false;
        metric_add(&l->metrics.refused_live, 1);
        log_warn(calls[i].sid, "not flushed: the call is live");
    }
    return true;
}

static void report(struct lane *l, const struct flush_call *calls, size_t count, int64_t started_us, int64_t now_ms)
{
    int64_t took_us = clock_mono_us() - started_us;
    metric_observe_us(&l->metrics.flush, took_us);
    for (size_t i = 0; i < count; i++) {
        const struct flush_call *call = &calls[i];
        metric_add(&l->metrics.calls_flushed, 1);
        metric_add(&l->metrics.entries_applied, call->applied);
        metric_observe_us(&l->metrics.hangup_to_commit, (now_ms - (int64_t)call->index_id.hi) * 1000 + took_us);
        log_info(call->sid, "call flushed", log_int("turns", (int64_t)call->turns),
                 log_int("entries", (int64_t)call->applied), log_int("ms", took_us / 1000));
        if (!call->lacks_end)
            continue;
        metric_add(&l->metrics.journal_gaps, 1);
        log_error(call->sid, "the journal lacks entries at its end",
                  log_int("last", (int64_t)batch_last_read(call, STREAM_WRITES).lo));
    }
}

/* The call is left where it is, and comes again when it has lain for claim_idle_ms; after some attempts it is parked,
 * with its journal, and somebody must look. */
static bool hold(struct lane *l, struct flush_call *call, const struct db_error *error)
{
    struct ended_entry entry = index_entry(call);
    int64_t attempts = ended_attempts(l->ended, l->shard->redis, &entry);
    bool ok = attempts >= 0;
    call->held = true;
    log_error(call->sid, "Postgres fails on this call", log_int("attempts", attempts),
              log_str("error", error->message), log_str("sqlstate", error->sqlstate));
    if (ok && attempts >= ATTEMPTS_MAX) {
        ok = dead_send_call(call->sid, call->index_id, error, l->shard->redis, l->spec->keys) &&
             ended_drop(l->ended, l->shard->redis, &entry);
        metric_add(&l->metrics.calls_parked, ok);
    }
    if (!ok)
        redis_lost(l);
    return ok;
}

static enum apply_result apply_timed(struct lane *l, struct flush_call *calls, size_t count, struct db_error *error)
{
    int64_t started_us = clock_mono_us();
    enum apply_result result;
    l->asked_ms = clock_mono_ms();
    l->apply.postgres = l->postgres;
    l->apply.redis = l->shard->redis;
    result = apply_calls(&l->apply, calls, count, error);
    l->asked_ms = 0;
    metric_add(&l->metrics.entries_dead, l->apply.dead);
    metric_add(&l->metrics.journal_gaps, l->apply.gaps);
    l->apply.dead = l->apply.gaps = 0;
    metric_observe_us(&l->metrics.transaction, clock_mono_us() - started_us);
    return result;
}

/* An error that is nobody's in particular is brought home to its call: half of the calls, then half of those. */
static bool apply(struct lane *l, struct flush_call *calls, size_t count)
{
    struct db_error error = {0};
    if (count == 0)
        return true;
    switch (apply_timed(l, calls, count, &error)) {
    case APPLY_COMMITTED:
        l->postgres_retry.failures = 0;
        return true;
    case APPLY_NO_REDIS:
        redis_lost(l);
        return false;
    case APPLY_NO_POSTGRES:
        break;
    }
    if (!pg_fault_is_strange(error.sqlstate) || !db_idle(l->postgres)) {
        apply_failed(l, &error);
        return false;
    }
    if (count == 1)
        return hold(l, calls, &error);
    return apply(l, calls, count / 2) && apply(l, calls + count / 2, count - count / 2);
}

/* One page of each call: read, write, say done for those that are finished. Puts the ones that go on
 * to the front; *count becomes how many. false: something failed, nothing is lost. */
static bool flush_page(struct lane *l, struct flush_call *calls, size_t *count)
{
    const struct flusher_config *c = l->spec->config;
    const struct batch_retention retention = {c->retention_seconds, c->final_wait_seconds};
    int64_t started_us = clock_mono_us(), now_ms;
    size_t over, applied, more;
    if (!batch_read(calls, *count, l->shard->redis, &l->arena, l->spec->keys, &now_ms)) {
        redis_lost(l);
        return false;
    }
    over = to_front(calls, *count, is_over);
    if (!refuse_live(l, calls + over, *count - over)) {
        redis_lost(l);
        return false;
    }
    if (!apply(l, calls, to_front(calls, over, has_entries)))
        return false;
    applied = to_front(calls, over, is_applied);
    more = to_front(calls, applied, has_more);
    for (size_t i = 0; i < more; i++)
        batch_turn_page(&calls[i]);
    if (!batch_done(calls + more, applied - more, l->shard->redis, l->spec->keys, &retention)) {
        redis_lost(l);
        return false;
    }
    report(l, calls + more, applied - more, started_us, now_ms);
    *count = more;
    return true;
}

/* A call that is on the index twice is flushed once: the entry that remains stands for both. Returns
 * how many calls there are; 0, and Redis is lost, if that failed. */
static size_t take_calls(struct lane *l, const struct ended_entry *entries, size_t count, struct flush_call *calls)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (n > 0 && strcmp(calls[n - 1].sid, entries[i].sid) == 0) {
            if (!ended_drop(l->ended, l->shard->redis, &entries[i])) {
                redis_lost(l);
                return 0;
            }
            continue;
        }
        memcpy(calls[n].sid, entries[i].sid, sizeof calls[n].sid);
        calls[n++].index_id = entries[i].id;
    }
    return n;
}

static bool flush_batch(struct lane *l, const struct ended_entry *entries, size_t count)
{
    struct flush_call *calls = calloc(count, sizeof *calls);
    size_t left = 0;
    bool ok = calls != NULL;
    if (ok) {
        left = take_calls(l, entries, count, calls);
        ok = left > 0;
    }
    while (ok && left > 0)
        ok = flush_page(l, calls, &left);
    if (calls)
        batch_release(calls, count);
    free(calls);
    return ok;
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
    size_t most = (size_t)l->spec->config->batch_calls;
    bool ok = ended_read(l->ended, l->shard, l->number == 0 ? sweep_wait_ms(&l->sweep, l->shard) : READ_WAIT_MS, &list);
    l->served = true;
    l->waited = l->waited || l->shard->alone || list.count > 0;
    if (!ok)
        redis_lost(l);
    else
        reach_worked(l->reach, l->shard);
    if (list.count > 0)
        qsort(list.entries, list.count, sizeof *list.entries, by_sid_then_id);
    for (size_t i = 0; i < list.count && ok && !stopping(l); i += most)
        ok = flush_batch(l, list.entries + i, list.count - i < most ? list.count - i : most);
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
    if (l->number == 0 && !sweep_run(&l->sweep, l->shard))
        redis_lost(l);
    else if (postgres_ready(l))
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
    snprintf(l->consumer, sizeof l->consumer, "%s", consumer);
    l->ended = ended_new(spec->keys, l->consumer, spec->config->batch_calls, spec->config->claim_idle_ms,
                         &l->metrics.groups_made);
    l->sweep.keys = spec->keys;
    l->sweep.ended = l->ended;
    l->sweep.metrics = &l->metrics;
    l->sweep.reap_grace_ms = spec->config->reap_grace_ms;
    l->apply.keys = spec->keys;
    l->apply.note = note_wanted(spec->config);
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
    apply_release(&l->apply);
    reply_arena_release(&l->arena);
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
