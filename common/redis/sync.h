/* A blocking Redis connection, for threads that carry no loop (the flusher's). */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/redis/keys.h"
#include "common/redis/url.h"

/* Why there is no connection. */
struct redis_refusal {
    bool misfit;    /* the fleet has another number of partitions: trying again is of no use */
    char text[256]; /* one sentence */
};

/* Connects and says hello. NULL, with the reason in why; timeout_ms bounds each step and every
 * later command. Free with redisFree. */
RF_NODISCARD redisContext *redis_sync_connect(const struct redis_url *url, const struct key_space *keys,
                                              const char *name, int timeout_ms, struct redis_refusal *why);

/* The same for who only looks: it does not load this version's functions, nor record partitions, which are the
 * fleet's. */
RF_NODISCARD redisContext *redis_sync_look(const struct redis_url *url, const struct key_space *keys, const char *name,
                                           int timeout_ms, struct redis_refusal *why);
