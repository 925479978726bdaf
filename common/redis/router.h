/* A Redis Cluster: a link to each primary, and each command to the node that has the slot of its key.
 *
 * A node's MOVED and ASK are followed, TRYAGAIN and CLUSTERDOWN waited out, for three seconds and within bounds;
 * what cannot be placed by then is answered with the error. The map of slots (CLUSTER SLOTS) is asked for again when a
 * node says MOVED, when a node is lost, and every ten seconds. When a node is lost its waiting callbacks get NULL,
 * as with a single server; the others go on. */
#pragma once
#include "common/redis/async.h"

struct redis_link;
struct redis_router;

/* door: a link to any of its nodes, borrowed. spec is copied. NULL: out of memory. */
RF_NODISCARD struct redis_router *redis_router_new(const struct redis_async_spec *spec, struct redis_link *door);

/* Waiting callbacks are called with NULL before this returns. The door goes first: its answers come here. Accepts
 * NULL. */
void redis_router_free(struct redis_router *router);

/* The door is up (again). */
void redis_router_door_up(struct redis_router *router);

/* As the functions of redis_async. */
bool redis_router_up(const struct redis_router *router);
bool redis_router_whole(const struct redis_router *router);
RF_NODISCARD int redis_router_send(struct redis_router *router, redisCallbackFn *fn, void *arg, int argc,
                                   const char **argv, const size_t *lens);
