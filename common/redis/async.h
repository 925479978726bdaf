/* The fleet's Redis for who has a loop: one server (link.h), whom Sentinel names, or a cluster (router.h), which is
 * noticed by itself. The same calls serve all three; a command finds its node by its key.
 *
 * A lost connection calls its waiting callbacks with a NULL reply, meaning "unknown, look before you send again".
 * One thread: the loop's. */
#pragma once
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/base/metrics.h"
#include "common/base/resolve.h"
#include "common/redis/url.h"

struct event_base;
struct redis_async;

struct redis_async_spec {
    struct event_base *base;
    struct resolver *resolver;
    const struct redis_url *url; /* borrowed, must outlive the connection */
    const char *name;            /* CLIENT SETNAME, for people who look at CLIENT LIST */
    void (*on_up)(void *arg);    /* may be NULL: all of Redis can be reached; in a cluster then also: more of it than before */
    void (*on_down)(void *arg);  /* may be NULL: it is lost, or a part of it */
    const struct key_space *keys;  /* borrowed: the partitions this fleet must have; NULL: any number */
    void (*on_misfit)(void *arg);  /* may be NULL: it has another, and the connection was never up */
    void *arg;
    metric_value *redirects; /* may be NULL: commands that a cluster's node sent on to another */
};

/* NULL when out of memory. Connecting begins in the next loop turn. */
RF_NODISCARD struct redis_async *redis_async_new(const struct redis_async_spec *spec);

/* Waiting callbacks are called with NULL before this returns; on_down is not. */
void redis_async_free(struct redis_async *ra);

/* It was reached, and still is: of a cluster, a part at least. */
bool redis_async_up(const struct redis_async *ra);

/* All of it can be reached. */
bool redis_async_whole(const struct redis_async *ra);

/* Sends a command. fn (may be NULL) is called once, with the reply or with NULL if the connection
 * was lost; its first argument is of no use. Returns -1, without calling fn, while the server (the key's node) is
 * not up. lens may be NULL: all arguments are then C strings; those up to the key always are.
 *
 * Commands to one server are carried out in the order in which they were sent. In a cluster that changes, one may
 * arrive behind others that were sent later: who needs an order waits for the answer. */
RF_NODISCARD int redis_async_send(struct redis_async *ra, redisCallbackFn *fn, void *arg, int argc,
                                  const char **argv, const size_t *lens);

/* First word of a function's answer ("CLAIMED"), or "" if the reply is none. */
const char *redis_word(const redisReply *reply);

/* Element i of an array reply as text, or "". */
const char *redis_text(const redisReply *reply, size_t i);
