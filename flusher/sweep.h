/* What nobody calls for: calls whose worker died are ended, flushed calls whose retention has passed
 * leave Redis, calls of a flusher that died are taken over, calls that fell off the index are put back. Any number
 * of flushers may sweep. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/keys.h"
#include "flusher/ended.h"
#include "flusher/metrics.h"

struct sweep {
    const struct key_space *keys;
    struct ended *ended;
    struct flusher_metrics *metrics;
    int64_t reap_grace_ms;
    _Atomic int64_t waiting_since_ms; /* clock_mono_ms: the oldest ended call waits since then; 0: none does */
    int64_t _next_ms;
    int64_t _tidy_ms, _health_ms;
    char _cursor[24]; /* of the walk over all sessions; "" or "0": at its beginning */
};

/* Does its round if one is due (each second; at once when the last one left work). false: Redis
 * failed. */
RF_NODISCARD bool sweep_run(struct sweep *sweep, redisContext *redis);

/* How long until the next round, at least 1. */
int64_t sweep_wait_ms(const struct sweep *sweep);
