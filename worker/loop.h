/* One event loop on a thread of its own, with all that its calls need: Redis connection, resolver,
 * buffers, metrics. The main thread talks to it through a pipe and reads its atomic counters; nothing
 * else crosses. */
#pragma once
#include "worker/metrics.h"
#include "worker/shared.h"

struct loop;

/* Built but not running. NULL when out of memory or descriptors. */
RF_NODISCARD struct loop *loop_new(struct shared *shared);

/* -1 when there is no thread to be had. */
RF_NODISCARD int loop_start(struct loop *loop);

/* Hands over an accepted connection. -1 (and fd closed) if the loop does not keep up. */
RF_NODISCARD int loop_give(struct loop *loop, int fd);

/* Connections and calls it carries, with those on their way to it. */
int loop_load(const struct loop *loop);

/* No new calls; those that are there finish, or are handed over when their time is up. */
void loop_drain(struct loop *loop);

/* false: it has not come round for seconds. */
bool loop_turns(const struct loop *loop);

/* Counters and gauges; read them atomically. */
const struct worker_metrics *loop_metrics(const struct loop *loop);

/* Stops the thread, if it runs, and frees. Accepts NULL. */
void loop_free(struct loop *loop);
