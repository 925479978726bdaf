/* Redis Sentinel: which server is the primary now. Sentinels are asked anew for every connection; one that does not
 * answer, or does not know, is followed by the next. User and password of the URL are for the servers; a Sentinel
 * gets them too, and may refuse them. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/base/resolve.h"
#include "common/redis/url.h"

struct event_base;
struct sentinel_ask;

struct sentinel_spec {
    struct event_base *base;
    struct resolver *resolver;
    const struct redis_url *url; /* outlives the question */
    int which;                   /* of its addresses, modulo their number */
};

/* error: one sentence, or NULL: then primary (borrowed for the call) is set. */
typedef void sentinel_fn(const char *error, const struct redis_place *primary, void *arg);

/* Asks one Sentinel, for at most two seconds. fn is called once, never from inside, unless it is cancelled. NULL: out
 * of memory. */
RF_NODISCARD struct sentinel_ask *sentinel_ask(const struct sentinel_spec *spec, sentinel_fn *fn, void *arg);
void sentinel_cancel(struct sentinel_ask *ask); /* accepts NULL */

/* Blocks: asks all of them in turn from the first-th (modulo their number), each for at most timeout_ms. false: one
 * sentence in error. */
RF_NODISCARD bool sentinel_find(const struct redis_url *url, int first, int timeout_ms, struct redis_place *primary,
                                char *error, size_t error_size);

/* The same of only one of them (which, modulo their number). */
RF_NODISCARD bool sentinel_find_one(const struct redis_url *url, int which, int timeout_ms, struct redis_place *primary);

/* A primary that was frozen, or cut off from its Sentinels, goes on acknowledging as one until they reach it, ten seconds
 * and more after another took its place; all of that is lost. So they are asked once a second about one that is in use,
 * in turn. Takes such an answer; true: ours is to be left, for two Sentinels in a row name another one. One alone may
 * not know ours yet. *others_named: 0 with a new connection. */
bool sentinel_disagrees(int *others_named, const struct redis_place *named, const struct redis_place *ours);

/* Whether the reply of ROLE is a primary's. A refusal (ACL) is believed to be. */
bool redis_is_primary(const redisReply *role);
