#include "flusher/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "flusher/dead.h"

enum { DOUBTS_MAX = 5 }; /* about a call on which Postgres fails strangely, without saying that an entry is at fault */

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
static bool refuse_live(struct delivery *d, const struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct ended_entry entry = index_entry(&calls[i]);
        if (!ended_drop(d->ended, d->apply.redis, &entry))
            return false;
        metric_add(&d->metrics->refused_live, 1);
        log_warn(calls[i].sid, "not flushed: the call is live");
    }
    return true;
}

static void report(struct delivery *d, const struct flush_call *calls, size_t count, int64_t started_us, int64_t now_ms)
{
    int64_t took_us = clock_mono_us() - started_us;
    metric_observe_us(&d->metrics->flush, took_us);
    for (size_t i = 0; i < count; i++) {
        const struct flush_call *call = &calls[i];
        metric_add(&d->metrics->calls_flushed, 1);
        metric_add(&d->metrics->entries_applied, call->applied);
        metric_observe_us(&d->metrics->hangup_to_commit, (now_ms - (int64_t)call->index_id.hi) * 1000 + took_us);
        log_info(call->sid, "call flushed", log_int("turns", (int64_t)call->turns),
                 log_int("entries", (int64_t)call->applied), log_int("ms", took_us / 1000));
        if (!call->lacks_end)
            continue;
        metric_add(&d->metrics->journal_gaps, 1);
        log_error(call->sid, "the journal lacks entries at its end",
                  log_int("last", (int64_t)batch_last_read(call, STREAM_WRITES).lo));
    }
}

/* A call on which Postgres fails strangely some times is parked, with its journal, and somebody must look. */
static enum delivery_result doubt(struct delivery *d, const struct flush_call *call, const struct db_error *error)
{
    struct ended_entry entry = index_entry(call);
    int64_t doubts = dead_doubt_call(call->sid, call->index_id, d->apply.redis, d->keys);
    bool ok = doubts > 0;
    log_error(call->sid, "Postgres fails on this call", log_int("times", doubts), log_str("statement", error->statement),
              log_str("error", error->message), log_str("sqlstate", error->sqlstate));
    if (ok && doubts >= DOUBTS_MAX) {
        ok = dead_send_call(call->sid, call->index_id, error, d->apply.redis, d->keys) &&
             ended_drop(d->ended, d->apply.redis, &entry);
        metric_add(&d->metrics->calls_parked, ok);
    }
    return ok ? DELIVERY_MADE : DELIVERY_NO_REDIS;
}

/* The call is left where it is, and comes again when it has lain for claim_idle_ms. */
static enum delivery_result hold(struct delivery *d, struct flush_call *call, const struct db_error *error)
{
    static _Thread_local struct log_limit limit;
    call->held = true;
    if (pg_fault_is_strange(error->sqlstate))
        return doubt(d, call, error);
    if (log_allow(&limit))
        log_error(call->sid, pg_fault_of(error->sqlstate) == PG_FAULT_SCHEMA
                                 ? "the call waits: a statement does not fit the database (flusher check tells more)"
                                 : "the call waits: Postgres does not take it now",
                  log_str("statement", error->statement), log_str("error", error->message),
                  log_str("sqlstate", error->sqlstate), log_int("suppressed", limit.suppressed));
    return DELIVERY_MADE;
}

static enum apply_result apply_timed(struct delivery *d, struct flush_call *calls, size_t count, struct db_error *error)
{
    int64_t started_us = clock_mono_us();
    enum apply_result result;
    *d->asked_ms = clock_mono_ms();
    result = apply_calls(&d->apply, calls, count, error);
    *d->asked_ms = 0;
    metric_add(&d->metrics->entries_dead, d->apply.dead);
    metric_add(&d->metrics->journal_gaps, d->apply.gaps);
    d->apply.dead = d->apply.gaps = 0;
    metric_observe_us(&d->metrics->transaction, clock_mono_us() - started_us);
    return result;
}

static enum delivery_result apply(struct delivery *d, struct flush_call *calls, size_t count, struct db_error *error)
{
    if (count == 0)
        return DELIVERY_MADE;
    switch (apply_timed(d, calls, count, error)) {
    case APPLY_COMMITTED:
        d->committed = true;
        return DELIVERY_MADE;
    case APPLY_NO_REDIS:
        return DELIVERY_NO_REDIS;
    case APPLY_NO_POSTGRES:
        break;
    }
    if (!pg_fault_may_be_partial(error->sqlstate) || !db_idle(d->apply.postgres))
        return DELIVERY_NO_POSTGRES;
    metric_add(&d->metrics->failures, 1);
    return count == 1 ? hold(d, calls, error) : DELIVERY_TOO_MUCH;
}

/* One page of each call: read, write, say done for those that are finished. Puts the ones that go on
 * to the front; *count becomes how many. */
static enum delivery_result deliver_page(struct delivery *d, struct flush_call *calls, size_t *count,
                                         struct db_error *error)
{
    const struct batch_retention retention = {d->config->retention_seconds, d->config->final_wait_seconds};
    int64_t started_us = clock_mono_us(), now_ms;
    size_t over, applied, more;
    enum delivery_result result;
    if (!batch_read(calls, *count, d->apply.redis, &d->arena, d->keys, &now_ms))
        return DELIVERY_NO_REDIS;
    over = to_front(calls, *count, is_over);
    if (!refuse_live(d, calls + over, *count - over))
        return DELIVERY_NO_REDIS;
    result = apply(d, calls, to_front(calls, over, has_entries), error);
    if (result != DELIVERY_MADE)
        return result;
    applied = to_front(calls, over, is_applied);
    more = to_front(calls, applied, has_more);
    for (size_t i = 0; i < more; i++)
        batch_turn_page(&calls[i]);
    if (!batch_done(calls + more, applied - more, d->apply.redis, d->keys, &retention))
        return DELIVERY_NO_REDIS;
    report(d, calls + more, applied - more, started_us, now_ms);
    *count = more;
    return DELIVERY_MADE;
}

/* A call that is on the index twice is delivered once: the entry that remains stands for both. Returns
 * how many calls there are; 0 if Redis failed. */
static size_t take_calls(struct delivery *d, const struct ended_entry *entries, size_t count, struct flush_call *calls)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (n > 0 && strcmp(calls[n - 1].sid, entries[i].sid) == 0) {
            if (!ended_drop(d->ended, d->apply.redis, &entries[i]))
                return 0;
            continue;
        }
        memcpy(calls[n].sid, entries[i].sid, sizeof calls[n].sid);
        calls[n++].index_id = entries[i].id;
    }
    return n;
}

enum delivery_result delivery_make(struct delivery *d, const struct ended_entry *entries, size_t count,
                                   struct db_error *error)
{
    struct flush_call *calls = calloc(count, sizeof *calls);
    enum delivery_result result = DELIVERY_NO_REDIS;
    size_t left;
    d->committed = false;
    if (!calls)
        return DELIVERY_NO_MEMORY;
    left = take_calls(d, entries, count, calls);
    if (left > 0)
        result = DELIVERY_MADE;
    while (result == DELIVERY_MADE && left > 0)
        result = deliver_page(d, calls, &left, error);
    batch_release(calls, count);
    free(calls);
    return result;
}

void delivery_release(struct delivery *d)
{
    apply_release(&d->apply);
    reply_arena_release(&d->arena);
}
