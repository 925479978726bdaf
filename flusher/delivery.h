/* Ended calls on their way from one shard of Redis to Postgres: page by page, a transaction each, and done once their
 * journals are read to the end. One thread. */
#pragma once
#include "flusher/apply.h"
#include "flusher/config.h"
#include "flusher/ended.h"
#include "flusher/metrics.h"

struct delivery {
    const struct flusher_config *config;
    const struct key_space *keys;
    struct ended *ended;
    struct flusher_metrics *metrics;
    _Atomic int64_t *asked_ms; /* set while a transaction is with Postgres: clock_mono_ms of its start; else 0 */
    struct apply apply;        /* its connections are set before each delivery */
    struct reply_arena arena;
    bool committed;            /* set when a transaction was committed */
};

void delivery_release(struct delivery *delivery);

enum delivery_result {
    DELIVERY_MADE,        /* a call that Postgres does not take by itself either stays pending, or is parked */
    DELIVERY_TOO_MUCH,    /* error says why; fewer of the calls at once may go through */
    DELIVERY_NO_REDIS,
    DELIVERY_NO_POSTGRES, /* error says why */
    DELIVERY_NO_MEMORY,
};

/* Entries of one partition, in order of sid and then id. Unless it is made, nothing is lost: the calls that are not
 * done stay pending and are delivered again. */
RF_NODISCARD enum delivery_result delivery_make(struct delivery *delivery, const struct ended_entry *entries,
                                                size_t count, struct db_error *error);
