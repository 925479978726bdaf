/* A lane's connections to Redis: one to each shard, each tried again by itself, so that a part that is away keeps
 * nobody else waiting; and the shards found again when they may have changed. One thread, but for reach_away_ms. */
#pragma once
#include "common/redis/shards.h"
#include "flusher/metrics.h"

struct reach;

struct reach_spec {
    const struct redis_url *url;
    const struct key_space *keys;
    const char *consumer;            /* for the log */
    struct flusher_metrics *metrics; /* redis_up */
    bool tells;                      /* what is at risk with a server; one lane does for all */
};

/* spec is copied, its texts are borrowed. NULL: out of memory. */
RF_NODISCARD struct reach *reach_new(const struct reach_spec *spec);
void reach_free(struct reach *reach); /* accepts NULL */

/* Finds the shards if that is due, or the server is the Sentinels' primary no more; call it about once a second. */
void reach_find(struct reach *reach);

/* None before they were found. */
int reach_count(const struct reach *reach);

/* The shard, connected; NULL while it is away, or may be the primary no more. */
struct redis_shard *reach_shard(struct reach *reach, int i);

/* The shard if it is connected now; nothing is tried. */
struct redis_shard *reach_connected(struct reach *reach, int i);

/* A connection was made since this was asked last: what was held on one before may not have been dealt with. */
bool reach_renewed(struct reach *reach);

/* The fleet has another number of partitions: there is no use in trying on. */
bool reach_misfit(const struct reach *reach);

/* A command failed on it, or the shard says that it is another's; or one has done its work. */
void reach_lost(struct reach *reach, struct redis_shard *shard);
void reach_worked(struct reach *reach, struct redis_shard *shard);

/* When the next try is due, in clock_mono_ms; INT64_MAX while nothing is away. */
int64_t reach_next_ms(const struct reach *reach);

/* For any thread: how long a part of Redis, or all of it, has been away. */
int64_t reach_away_ms(const struct reach *reach);
