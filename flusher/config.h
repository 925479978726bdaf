/* Settings of the flusher. */
#pragma once
#include "common/base/config.h"

#define FLUSHER_CONFIG(X)                                                                                        \
    CONFIG_SHARED(X, "0.0.0.0:9102")                                                                             \
    X(SECRET, database_url, "DATABASE_URL", NULL, "libpq URI",                                                   \
      "the database that calls are written to: postgres://user:pass@host/name")                                  \
    X(STR, sql_dir, "SQL_DIR", "", "directory", "where apply_<type>.sql files of your own override the built-in ones") \
    X(STR, consumer, "CONSUMER", "", "text", "name in the consumer group; by default <hostname>-<pid>")          \
    X(INT, flush_threads, "FLUSH_THREADS", "2", "1..16", "lanes, each with a connection to Redis and one to Postgres") \
    X(INT, batch_calls, "BATCH_CALLS", "500", "1..1000", "most calls that share one transaction; a call waits for no other") \
    X(INT, claim_idle_ms, "CLAIM_IDLE_MS", "30000", "100..86400000",                                             \
      "how long a call may lie with a flusher that says nothing before another takes it over")                   \
    X(INT, reap_grace_ms, "REAP_GRACE_MS", "10000", "0..86400000",                                               \
      "how long after its lease lapsed a call counts as lost by its worker")                                     \
    X(INT, retention_seconds, "RETENTION_SECONDS", "3600", "0..31536000",                                        \
      "how long a flushed call's journal stays in Redis, for reading and for late webhooks")                     \
    X(INT, final_wait_seconds, "FINAL_WAIT_SECONDS", "86400", "0..31536000",                                     \
      "the same for a call whose final status never came")

struct flusher_config {
    FLUSHER_CONFIG(CONFIG_MEMBER)
};
