#include "flusher/flush.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/sync.h"
#include "flusher/apply.h"
#include "flusher/batch.h"
#include "flusher/ended.h"
#include "flusher/metrics.h"
#include "flusher/sweep.h"
#include "flusher_sql.h"

#define METRIC_STRUCT struct flusher_metrics
static const struct metric_row metric_rows[] = {FLUSHER_METRICS(METRIC_ROW)};

enum {
    STATEMENTS = (int)(sizeof flusher_sql / sizeof flusher_sql[0]) - 1,
    REDIS_TIMEOUT_MS = 5000, /* above the time a read waits, which is until the next sweep */
    REST_MS = 1000,          /* the longest rest, so that sweeps go on while Postgres is away */
    RETRY_FIRST_MS = 100,
    RETRY_LAST_MS = 10000,
};

/* A statement that waits for somebody's lock gives up and is tried again; so nothing hangs for ever. */
static const char session_options[] = "-c lock_timeout=10s -c statement_timeout=60s "
                                      "-c idle_in_transaction_session_timeout=60s";

/* Counts failures until something worked; that a connection was had is not enough. */
struct retry {
    int failures;
    int64_t next_ms;
};

struct flusher {
    const struct flusher_config *config;
    struct redis_url url;
    struct key_space keys;
    char consumer[300];
    struct statement statements[STATEMENTS];
    struct flusher_metrics metrics;
    atomic_bool stopping;
    int wake_fd, ended_fd;
    pthread_t thread;
    bool started;
    /* the rest belongs to the thread */
    struct ended *ended;
    struct sweep sweep;
    redisContext *redis;
    struct retry redis_retry;
    PGconn *postgres;
    struct retry postgres_retry;
};

static bool stopping(struct flusher *f)
{
    return atomic_load(&f->stopping);
}

/* -- connections, tried again with exponential back-off and jitter ---------------------------- */

static void retry_later(struct retry *retry)
{
    int64_t delay = RETRY_FIRST_MS;
    for (int i = 0; i < retry->failures && delay < RETRY_LAST_MS; i++)
        delay *= 2;
    delay = delay < RETRY_LAST_MS ? delay : RETRY_LAST_MS;
    retry->failures++;
    retry->next_ms = clock_mono_ms() + delay / 2 + random() % (delay / 2 + 1);
}

static bool retry_due(const struct retry *retry)
{
    return clock_mono_ms() >= retry->next_ms;
}

/* Until then, or a stop. */
static void rest_until(struct flusher *f, int64_t until_ms)
{
    struct pollfd wake = {.fd = f->wake_fd, .events = POLLIN};
    int64_t wait = until_ms - clock_mono_ms();
    if (wait > 0)
        poll(&wake, 1, (int)(wait < REST_MS ? wait : REST_MS));
}

static void redis_lost(struct flusher *f)
{
    if (f->redis)
        redisFree(f->redis);
    f->redis = NULL;
    metric_set(&f->metrics.redis_up, 0);
    retry_later(&f->redis_retry);
}

/* INFO is only a look: one that is refused (ACL) tells nothing. */
static bool redis_usable(struct flusher *f)
{
    char sentence[256] = "";
    redisReply *info = redisCommand(f->redis, "INFO");
    bool usable = info && (info->type != REDIS_REPLY_STRING || redis_risk(info->str, sentence, sizeof sentence));
    freeReplyObject(info);
    if (*sentence)
        log_warn(NULL, usable ? "Redis is at risk" : "Redis cannot be used", log_str("why", sentence));
    return usable;
}

static bool redis_ready(struct flusher *f)
{
    char error[256];
    if (f->redis)
        return true;
    if (!retry_due(&f->redis_retry))
        return false;
    f->redis = redis_sync_connect(&f->url, "flusher", REDIS_TIMEOUT_MS, error, sizeof error);
    if (!f->redis)
        log_error(NULL, "Redis is away", log_str("error", error));
    if (!f->redis || !redis_usable(f)) {
        redis_lost(f);
        return false;
    }
    ended_rewind(f->ended);
    metric_set(&f->metrics.redis_up, 1);
    log_info(NULL, "Redis connected", log_str("consumer", f->consumer));
    return true;
}

static void postgres_lost(struct flusher *f)
{
    PQfinish(f->postgres);
    f->postgres = NULL;
    metric_set(&f->metrics.postgres_up, 0);
}

static bool postgres_ready(struct flusher *f)
{
    struct db_error error = {0};
    if (!retry_due(&f->postgres_retry))
        return false;
    if (f->postgres)
        return true;
    f->postgres = db_connect(f->config->database_url, session_options, &error);
    if (f->postgres && db_prepare(f->postgres, f->statements, STATEMENTS, &error)) {
        metric_set(&f->metrics.postgres_up, 1);
        log_info(NULL, "Postgres connected");
        return true;
    }
    log_error(NULL, f->postgres ? "the statements do not fit the schema; flusher migrate brings the default one"
                                : "Postgres is away",
              log_str("error", error.message), log_str("sqlstate", error.sqlstate));
    postgres_lost(f);
    retry_later(&f->postgres_retry);
    return false;
}

/* Nothing was acknowledged: the calls stay ours and are read again when the time has come. */
static void apply_failed(struct flusher *f, const struct db_error *error)
{
    static const char *const transient[] = {"40001", "40P01", "55P03"};
    bool keep = PQstatus(f->postgres) == CONNECTION_OK && PQpipelineStatus(f->postgres) == PQ_PIPELINE_OFF &&
                PQtransactionStatus(f->postgres) == PQTRANS_IDLE;
    bool crossed = false;
    for (size_t i = 0; i < ARRAY_LEN(transient); i++)
        crossed = crossed || strcmp(error->sqlstate, transient[i]) == 0;
    metric_add(&f->metrics.failures, 1);
    log_error(NULL, pg_fault_of(error->sqlstate) == PG_FAULT_SCHEMA ? "the statements do not fit the schema; waiting"
                                                                    : "a flush failed; it will be repeated",
              log_str("error", error->message), log_str("sqlstate", error->sqlstate));
    if (!keep || !crossed)
        postgres_lost(f);
    retry_later(&f->postgres_retry);
    ended_rewind(f->ended);
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

static bool has_more(const struct flush_call *call)
{
    return call->more;
}

/* Iron rule: no commit in a live call. Its end will index it again, so its entry can go. */
static bool refuse_live(struct flusher *f, const struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ended_entry entry = {.id = calls[i].index_id};
        memcpy(entry.sid, calls[i].sid, sizeof entry.sid);
        if (!ended_drop(f->ended, f->redis, &entry))
            return false;
        metric_add(&f->metrics.refused_live, 1);
        log_warn(calls[i].sid, "not flushed: the call is live");
    }
    return true;
}

static void report(struct flusher *f, const struct flush_call *calls, size_t count, int64_t started_us, int64_t now_ms)
{
    int64_t took_us = clock_mono_us() - started_us;
    metric_observe_us(&f->metrics.flush, took_us);
    for (size_t i = 0; i < count; i++) {
        const struct flush_call *call = &calls[i];
        metric_add(&f->metrics.calls_flushed, 1);
        metric_add(&f->metrics.entries_applied, call->applied);
        metric_observe_us(&f->metrics.hangup_to_commit, (now_ms - (int64_t)call->index_id.hi) * 1000 + took_us);
        log_info(call->sid, "call flushed", log_int("turns", (int64_t)call->turns),
                 log_int("entries", (int64_t)call->applied), log_int("ms", took_us / 1000));
    }
}

static bool apply(struct flusher *f, struct flush_call *calls, size_t count)
{
    struct apply apply = {.postgres = f->postgres, .redis = f->redis, .keys = &f->keys};
    struct db_error error = {0};
    enum apply_result result = count > 0 ? apply_calls(&apply, calls, count, &error) : APPLY_COMMITTED;
    metric_add(&f->metrics.entries_dead, apply.dead);
    metric_add(&f->metrics.journal_gaps, apply.gaps);
    switch (result) {
    case APPLY_COMMITTED:
        f->postgres_retry.failures = 0;
        return true;
    case APPLY_NO_REDIS:
        redis_lost(f);
        return false;
    case APPLY_NO_POSTGRES:
        apply_failed(f, &error);
        return false;
    }
    return false;
}

/* One page of each call: read, write, say done for those that are finished. Puts the ones that go on
 * to the front; *count becomes how many. false: something failed, nothing is lost. */
static bool flush_page(struct flusher *f, struct flush_call *calls, size_t *count)
{
    const struct flusher_config *c = f->config;
    int64_t started_us = clock_mono_us(), now_ms;
    size_t over, more;
    if (!batch_read(calls, *count, f->redis, &f->keys, &now_ms)) {
        redis_lost(f);
        return false;
    }
    over = to_front(calls, *count, is_over);
    if (!refuse_live(f, calls + over, *count - over)) {
        redis_lost(f);
        return false;
    }
    if (!apply(f, calls, to_front(calls, over, has_entries)))
        return false;
    more = to_front(calls, over, has_more);
    for (size_t i = 0; i < more; i++)
        batch_turn_page(&calls[i]);
    if (!batch_done(calls + more, over - more, f->redis, &f->keys, c->retention_seconds, c->final_wait_seconds)) {
        redis_lost(f);
        return false;
    }
    report(f, calls + more, over - more, started_us, now_ms);
    *count = more;
    return true;
}

/* A call that is on the index twice is flushed once: the entry that remains stands for both. Returns
 * how many calls there are; 0, and Redis is lost, if that failed. */
static size_t take_calls(struct flusher *f, const struct ended_entry *entries, size_t count, struct flush_call *calls)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (n > 0 && strcmp(calls[n - 1].sid, entries[i].sid) == 0) {
            if (!ended_drop(f->ended, f->redis, &entries[i])) {
                redis_lost(f);
                return 0;
            }
            continue;
        }
        memcpy(calls[n].sid, entries[i].sid, sizeof calls[n].sid);
        calls[n++].index_id = entries[i].id;
    }
    return n;
}

static bool flush_batch(struct flusher *f, const struct ended_entry *entries, size_t count)
{
    struct flush_call *calls = calloc(count, sizeof *calls);
    size_t left = 0;
    bool ok = calls != NULL;
    if (ok) {
        left = take_calls(f, entries, count, calls);
        ok = left > 0;
    }
    while (ok && left > 0)
        ok = flush_page(f, calls, &left);
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

static void flush_next(struct flusher *f)
{
    struct ended_list list;
    size_t most = (size_t)f->config->batch_calls;
    bool ok = ended_read(f->ended, f->redis, sweep_wait_ms(&f->sweep), &list);
    if (!ok)
        redis_lost(f);
    else
        f->redis_retry.failures = 0;
    if (list.count > 0)
        qsort(list.entries, list.count, sizeof *list.entries, by_sid_then_id);
    for (size_t i = 0; i < list.count && ok && !stopping(f); i += most)
        ok = flush_batch(f, list.entries + i, list.count - i < most ? list.count - i : most);
    ended_list_release(&list);
}

/* -- the thread ------------------------------------------------------------------------------- */

static void *run(void *arg)
{
    struct flusher *f = arg;
    while (!stopping(f)) {
        if (!redis_ready(f))
            rest_until(f, f->redis_retry.next_ms);
        else if (!sweep_run(&f->sweep, f->redis))
            redis_lost(f);
        else if (!postgres_ready(f))
            rest_until(f, f->postgres_retry.next_ms);
        else
            flush_next(f);
    }
    eventfd_write(f->ended_fd, 1);
    return NULL;
}

static void name_consumer(struct flusher *f)
{
    char host[200] = "flusher";
    gethostname(host, sizeof host - 1);
    if (*f->config->consumer)
        snprintf(f->consumer, sizeof f->consumer, "%.255s", f->config->consumer);
    else
        snprintf(f->consumer, sizeof f->consumer, "%s-%ld", host, (long)getpid());
}

struct flusher *flusher_new(const struct flusher_config *config, char *error, size_t error_size)
{
    struct flusher *f = calloc(1, sizeof *f);
    if (!f) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    f->config = config;
    f->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    f->wake_fd = eventfd(0, EFD_CLOEXEC);
    f->ended_fd = eventfd(0, EFD_CLOEXEC);
    name_consumer(f);
    srandom((unsigned)clock_mono_us() ^ (unsigned)getpid());
    snprintf(error, error_size, "out of memory or descriptors");
    f->ended = ended_new(&f->keys, f->consumer, config->batch_calls, config->claim_idle_ms);
    f->sweep = (struct sweep){.keys = &f->keys,
                              .ended = f->ended,
                              .metrics = &f->metrics,
                              .reap_grace_ms = config->reap_grace_ms};
    if (f->wake_fd < 0 || f->ended_fd < 0 || !f->ended ||
        redis_url_parse(config->redis_url, &f->url, error, error_size) != 0 ||
        statements_load(f->statements, STATEMENTS, flusher_sql, config->sql_dir, error, error_size) != 0) {
        flusher_free(f);
        return NULL;
    }
    return f;
}

/* Signals belong to the main thread: no call of this one shall be interrupted. */
bool flusher_start(struct flusher *flusher)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    flusher->started = pthread_create(&flusher->thread, NULL, run, flusher) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return flusher->started;
}

void flusher_stop(struct flusher *flusher)
{
    atomic_store(&flusher->stopping, true);
    eventfd_write(flusher->wake_fd, 1);
}

int flusher_ended_fd(const struct flusher *flusher)
{
    return flusher->ended_fd;
}

void flusher_free(struct flusher *f)
{
    if (!f)
        return;
    if (f->started)
        pthread_join(f->thread, NULL);
    if (f->redis)
        redisFree(f->redis);
    PQfinish(f->postgres);
    ended_free(f->ended);
    statements_release(f->statements, STATEMENTS);
    redis_url_release(&f->url);
    if (f->wake_fd >= 0)
        close(f->wake_fd);
    if (f->ended_fd >= 0)
        close(f->ended_fd);
    free(f);
}

const char *flusher_not_ready(void *flusher)
{
    struct flusher *f = flusher;
    if (!metric_get(&f->metrics.redis_up))
        return "Redis is not connected; the log says why";
    if (!metric_get(&f->metrics.postgres_up))
        return "Postgres is not connected, or its schema does not fit; the log says why";
    return NULL;
}

void flusher_print_metrics(struct evbuffer *out, void *flusher)
{
    struct flusher *f = flusher;
    metrics_print(out, metric_rows, ARRAY_LEN(metric_rows), &f->metrics);
}
