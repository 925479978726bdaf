/* A lane: one thread with a connection to Redis and one to Postgres, that takes ended calls from the index,
 * writes their journals to Postgres and says done. Several lanes overlap the work of one with the waiting of
 * another. They share nothing: to each other they are what another flusher is. */
#pragma once
#include <stdatomic.h>

#include "common/redis/url.h"
#include "flusher/config.h"
#include "flusher/metrics.h"
#include "flusher/sql.h"

struct lane;

/* What the lanes of a flusher have in common; nothing of it changes while they run. */
struct lane_spec {
    const struct flusher_config *config;
    const struct redis_url *url;
    const struct key_space *keys;
    const struct sql *sql;
    int wake_fd;          /* readable when the lanes shall stop */
    int ended_fd;         /* an eventfd: each lane adds 1 when it has ended */
    atomic_bool *stopping;
    atomic_bool *misfit;  /* set by the lane that finds the fleet to have another number of partitions: all must end */
};

/* The lane with number 0 also sweeps. consumer is copied. NULL when out of memory. */
RF_NODISCARD struct lane *lane_new(const struct lane_spec *spec, int number, const char *consumer);
/* Waits for the thread if it was started. Accepts NULL. */
void lane_free(struct lane *lane);

RF_NODISCARD bool lane_start(struct lane *lane);

/* For any thread. */
const struct flusher_metrics *lane_metrics(const struct lane *lane);

/* How long the oldest ended call has been waiting (only lane 0 knows), Redis has been away, or Postgres has been
 * owing an answer. */
int64_t lane_delay_ms(const struct lane *lane);
