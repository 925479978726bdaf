/* One asynchronous connection to one Redis server, that comes back by itself.
 *
 * Finds the server (the URL's addresses in turn, or whom Sentinel names, anew each time), connects without blocking the
 * loop, says hello (AUTH, SELECT, a look at INFO, our functions), then calls on_up. A lost or silent connection (a
 * PING a second, answered within the timeout) calls every waiting callback with a NULL reply, meaning "unknown,
 * look before you send again", then on_down, and is tried again with back-off and jitter. So is one to a primary that is none
 * any more: it says so itself (ROLE instead of PING, but of a cluster's node), or its Sentinels do (sentinel_disagrees).
 *
 * Without a place of its own, and when the server turns out to be a node of a cluster, the hello ends with that: what
 * follows (router.h) has links of its own to the primaries.
 *
 * Written for the hiredis 0.14 API, which 1.2 still has. One thread: the loop's. */
#pragma once
#include <hiredis/async.h>
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/base/resolve.h"
#include "common/redis/url.h"

struct event_base;
struct redis_link;

struct redis_link_spec {
    struct event_base *base;
    struct resolver *resolver;
    const struct redis_url *url;      /* borrowed, must outlive the connection */
    const struct redis_place *place;  /* borrowed likewise; NULL: as the URL says */
    const char *name;                 /* CLIENT SETNAME, for people who look at CLIENT LIST */
    void (*on_up)(void *arg);
    void (*on_down)(void *arg);
    const struct key_space *keys;     /* see redis_async_spec */
    void (*on_misfit)(void *arg);
    void *arg;
};

/* NULL when out of memory. Connecting begins in the next loop turn. */
RF_NODISCARD struct redis_link *redis_link_new(const struct redis_link_spec *spec);

/* Waiting callbacks are called with NULL before this returns; on_down is not. Accepts NULL. Not from a callback
 * of the link itself. */
void redis_link_free(struct redis_link *link);

bool redis_link_up(const struct redis_link *link);

/* Sends a command, see redis_async_send; or one as it stands on the wire. */
RF_NODISCARD int redis_link_send(struct redis_link *link, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                                 const size_t *lens);
RF_NODISCARD int redis_link_send_text(struct redis_link *link, redisCallbackFn *fn, void *arg, const char *text,
                                      size_t len);

/* Ends the connection once what was sent is answered; then it is tried again. */
void redis_link_close(struct redis_link *link);

/* Of the server it is, or was last, connected to. */
bool redis_link_is_cluster(const struct redis_link *link);
const struct redis_place *redis_link_place(const struct redis_link *link);
