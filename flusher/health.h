/* What the flusher sees of a Redis server as a place to keep journals in: version, AOF, eviction, memory. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"

struct health {
    char sentence[256]; /* what is at risk, or "" */
    int memory_percent; /* of maxmemory */
};

/* Asks. false: Redis failed, or is too old to serve. */
RF_NODISCARD bool health_look(redisContext *redis, struct health *health);
