/* Which primary of a cluster has which slots. Pure: it is told, and asks nobody. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/redirect.h"
#include "common/redis/slot.h"

enum { TOPOLOGY_NODES = 256, TOPOLOGY_NOBODY = -1 };

/* Zero it is empty: no node, and each slot nobody's. A node keeps its number until it is forgotten. */
struct topology {
    struct topology_node {
        struct redis_place place; /* port 0: the number is free */
        int slots;
    } nodes[TOPOLOGY_NODES];
    int count;                    /* numbers in use are below */
    uint16_t _owner[REDIS_SLOTS]; /* number + 1 */
    int _owned;
};

/* Takes the reply of CLUSTER SLOTS in place of what was known; answered is who gave it, and stands in for an
 * address that it does not know itself. Nodes without a slot stay, with 0 slots. false: it is no such
 * reply, or has too many nodes, and each slot is whose it was. */
RF_NODISCARD bool topology_take(struct topology *t, const redisReply *reply, const struct redis_place *answered);

/* What MOVED says. Returns the node's number; TOPOLOGY_NOBODY if there are too many. */
int topology_move(struct topology *t, int slot, const struct redis_place *to);

/* Number of the node, which is added without a slot if it is new. TOPOLOGY_NOBODY if there are too many. */
int topology_node(struct topology *t, const struct redis_place *place);

/* A node without slots. */
void topology_forget(struct topology *t, int node);

/* TOPOLOGY_NOBODY if no node has it. */
int topology_owner(const struct topology *t, int slot);

/* What is to be said to who has one partition in a cluster. */
#define TOPOLOGY_ONE_PARTITION "Redis is a cluster, and RINGFLEET_PARTITIONS=1 keeps every call on one node of it; 16 or 64 at the " \
                               "installation spread them"

/* Each slot has an owner. */
bool topology_whole(const struct topology *t);
