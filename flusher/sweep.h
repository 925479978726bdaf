/* What nobody calls for: calls whose worker died are ended, flushed calls whose retention has passed
 * leave Redis, calls of a flusher that died are taken over, calls that fell off the index are put back. Any number
 * of flushers may sweep. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/keys.h"
#include "common/redis/shards.h"
#include "flusher/ended.h"
#include "flusher/metrics.h"

struct sweep {
    const struct key_space *keys;
    struct ended *ended;
    struct flusher_metrics *metrics;
    int64_t reap_grace_ms;
    _Atomic int64_t waiting_since_ms; /* clock_mono_ms: the oldest ended call waits since then; 0: none does */
    struct sweep_round *_rounds;    /* by the numbers of the shards */
    struct sweep_backlog *_backlog; /* by partition */
};

/* Fields without an underscore are set. false: out of memory. Release in both cases. */
RF_NODISCARD bool sweep_init(struct sweep *sweep);
void sweep_release(struct sweep *sweep);

/* The shards are others, or their connections are. */
void sweep_begin_again(struct sweep *sweep);

/* Does the round of a shard if one is due (each second; at once when the last one left work). false: Redis
 * failed. */
RF_NODISCARD bool sweep_run(struct sweep *sweep, const struct redis_shard *shard);

/* How long until the shard's next round, at least 1. */
int64_t sweep_wait_ms(const struct sweep *sweep, const struct redis_shard *shard);
