/* Metrics of the flusher. Each lane writes its own; the admin port shows their sum. */
#pragma once
#include "common/base/metrics.h"

#define FLUSHER_METRICS(X)                                                                                       \
    X(COUNTER, calls_flushed, "calls_flushed_total", "", "calls written to Postgres; a late event counts again") \
    X(COUNTER, entries_applied, "journal_entries_applied_total", "", "journal entries written to Postgres")      \
    X(COUNTER, entries_dead, "journal_entries_dead_total", "", "journal entries kept in the dead stream instead") \
    X(COUNTER, journal_gaps, "journal_gaps_total", "", "calls whose journal lacked an entry")                    \
    X(COUNTER, refused_live, "db_write_refused_live_call_total", "", "calls not flushed because they were live") \
    X(COUNTER, claimed, "redeliveries_total", "", "ended calls that lay too long: their flusher is silent, or Postgres did not take them") \
    X(COUNTER, failures, "flush_failures_total", "", "transactions that failed and will be repeated")            \
    X(COUNTER, calls_parked, "calls_parked_total", "", "calls on which Postgres always fails, kept in the dead stream") \
    X(COUNTER, reaped, "calls_reaped_total", "", "calls ended because their lease had lapsed")                   \
    X(COUNTER, found, "calls_found_total", "", "ended calls that were not on the index, and are again")          \
    X(COUNTER, purged, "calls_purged_total", "", "flushed calls that left Redis after their retention")          \
    X(HISTOGRAM, flush, "flush_seconds", "", "one transaction, from reading the journals to the acknowledgement") \
    X(HISTOGRAM, transaction, "flush_transaction_seconds", "", "the part of it that is Postgres")                \
    X(HISTOGRAM, hangup_to_commit, "hangup_to_commit_seconds", "", "from the end of a call to its rows")         \
    X(GAUGE, backlog, "ended_backlog", "", "ended calls not yet flushed")                                        \
    X(GAUGE, letters, "dead_letters", "", "what is in the dead streams and not looked after yet")                \
    X(GAUGE, delay_seconds, "flush_delay_seconds", "", "how long the oldest ended call waits, or Redis is away: the alarm") \
    X(GAUGE, memory_percent, "redis_memory_percent", "", "how full Redis is, of its maxmemory; 0: it has none")    \
    X(GAUGE, at_risk, "redis_at_risk", "", "1 while Redis runs without AOF, or evicts: the log says which")       \
    X(COUNTER, groups_made, "groups_made_total", "", "consumer groups made: at install, or because they were gone") \
    X(GAUGE, postgres_up, "postgres_up", "", "1 while Postgres is connected and its schema fits")                \
    X(GAUGE, redis_up, "redis_up", "", "1 while Redis is connected")

struct flusher_metrics {
    FLUSHER_METRICS(METRIC_MEMBER)
};
