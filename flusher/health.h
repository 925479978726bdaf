/* What the flusher sees of its Redis as a place to keep journals in: version, AOF, eviction, memory. */
#pragma once
#include <hiredis/hiredis.h>

#include "flusher/metrics.h"

/* Asks, and sets the metrics unless they are NULL: one lane tells for all. sentence: what is at risk, or "". false: Redis failed, or is too old to serve. */
RF_NODISCARD bool health_look(redisContext *redis, struct flusher_metrics *metrics, char *sentence, size_t size);
