/* One asynchronous Redis connection that comes back by itself.
 *
 * Connects (name resolution included) without blocking the loop, says hello (AUTH, SELECT, a look
 * at INFO, our functions, the fleet's partitions), then calls on_up. A lost or silent connection (a PING a second,
 * answered within the timeout) calls every waiting callback with a NULL reply, meaning "unknown,
 * look before you send again", then on_down, and is tried again with back-off and jitter.
 *
 * Written for the hiredis 0.14 API, which 1.2 still has. One thread: the loop's. */
#pragma once
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/base/resolve.h"
#include "common/redis/url.h"

struct event_base;
struct redis_async;

struct redis_async_spec {
    struct event_base *base;
    struct resolver *resolver;
    const struct redis_url *url; /* borrowed, must outlive the connection */
    const char *name;            /* CLIENT SETNAME, for people who look at CLIENT LIST */
    void (*on_up)(void *arg);    /* may be NULL */
    void (*on_down)(void *arg);  /* may be NULL */
    const struct key_space *keys;  /* borrowed: the partitions this fleet must have; NULL: any number */
    void (*on_misfit)(void *arg);  /* may be NULL: it has another, and the connection was never up */
    void *arg;
};

/* NULL when out of memory. Connecting begins in the next loop turn. */
RF_NODISCARD struct redis_async *redis_async_new(const struct redis_async_spec *spec);

/* Waiting callbacks are called with NULL before this returns; on_down is not. */
void redis_async_free(struct redis_async *ra);

bool redis_async_up(const struct redis_async *ra);

/* Sends a command. fn (may be NULL) is called once, with the reply or with NULL if the connection
 * was lost. Returns -1, without calling fn, while the connection is not up. lens may be NULL: all
 * arguments are then C strings. */
RF_NODISCARD int redis_async_send(struct redis_async *ra, redisCallbackFn *fn, void *arg, int argc,
                                  const char **argv, const size_t *lens);

/* First word of a function's answer ("CLAIMED"), or "" if the reply is none. */
const char *redis_word(const redisReply *reply);

/* Element i of an array reply as text, or "". */
const char *redis_text(const redisReply *reply, size_t i);
