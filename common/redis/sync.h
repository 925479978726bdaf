/* A blocking Redis connection, for threads that carry no loop (the flusher's). */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/redis/url.h"

/* Connects and says hello. NULL with one sentence in error; timeout_ms bounds each step and every
 * later command. Free with redisFree. */
RF_NODISCARD redisContext *redis_sync_connect(const struct redis_url *url, const char *name, int timeout_ms,
                                              char *error, size_t error_size);

/* The same for who only looks: it does not load this version's functions, which are the fleet's. */
RF_NODISCARD redisContext *redis_sync_look(const struct redis_url *url, const char *name, int timeout_ms, char *error,
                                           size_t error_size);
