/* The parts of the warmer that its request handlers share. One thread, one loop. */
#pragma once
#include <sys/time.h>

#include "common/redis/async.h"
#include "common/redis/keys.h"
#include "warmer/config.h"
#include "warmer/memo.h"
#include "warmer/metrics.h"
#include "warmer/rush.h"

struct call_store;
struct http_client;
struct load_pool;
struct outbound;
struct shelf;

struct warmer {
    struct warmer_config config; /* public_url without a slash at its end */
    struct warmer_metrics metrics;
    struct key_space keys;
    struct event_base *base;
    struct redis_async *redis;
    size_t questions; /* on their way to Redis and back */
    size_t opening;   /* first webhooks that wait for their answer */
    size_t partial;   /* calls whose context is still to be completed */
    struct rush rush;
    struct memos memos;
    struct load_pool *loads;
    struct http_client *http;  /* what the providers are asked with */
    struct call_store *calls;  /* NULL: nobody is dialled here, and no provider reports */
    struct outbound *outbound; /* NULL: nobody is dialled here */
    struct shelf *shelf;       /* NULL: recordings that webhooks bring are not kept here */
};

/* A call nobody streamed for is given up this long after its token has expired. */
enum { LEASE_SLACK_MS = 60000 };

static inline int64_t warmer_lease_ms(const struct warmer *w)
{
    return w->config.token_ttl_seconds * 1000 + LEASE_SLACK_MS;
}

static inline struct timeval warmer_deadline(const struct warmer *w)
{
    return (struct timeval){w->config.warm_deadline_ms / 1000, (w->config.warm_deadline_ms % 1000) * 1000};
}
