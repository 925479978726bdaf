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

struct redis_sync_spec {
    const struct redis_url *url;
    const struct key_space *keys; /* the partitions this fleet must have; NULL: any number */
    const char *name;             /* CLIENT SETNAME */
    int timeout_ms;               /* bounds each step and every later command */
    bool look;      /* it does not load this version's functions, nor record partitions, which are the fleet's */
    bool functions; /* a look that loads them all the same, since it is to call one */
    int sentinel;   /* the one that is asked first, modulo their number */
};

/* Connects to the server at place and says hello. NULL, with the reason in why. Free with redisFree. */
RF_NODISCARD redisContext *redis_sync_connect(const struct redis_sync_spec *spec, const struct redis_place *place,
                                              struct redis_refusal *why);

/* The same with the server that the URL leads to: the first of its addresses that answers, or whom Sentinel names. Where
 * it was found comes back in found (host "" with a unix socket). If that is a node of a cluster the hello ends with
 * this, and *cluster is set: it is good for asking where the others are. */
RF_NODISCARD redisContext *redis_sync_find(const struct redis_sync_spec *spec, struct redis_place *found,
                                           bool *cluster, struct redis_refusal *why);
