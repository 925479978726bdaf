#include "common/redis/topology.h"

#include <stdlib.h>
#include <string.h>

int topology_owner(const struct topology *t, int slot)
{
    return (int)t->_owner[slot] - 1;
}

bool topology_whole(const struct topology *t)
{
    return t->_owned == REDIS_SLOTS;
}

int topology_node(struct topology *t, const struct redis_place *place)
{
    int room = TOPOLOGY_NOBODY;
    for (int i = 0; i < t->count; i++) {
        if (t->nodes[i].place.port == 0)
            room = i;
        else if (redis_place_same(&t->nodes[i].place, place))
            return i;
    }
    if (room == TOPOLOGY_NOBODY && t->count < TOPOLOGY_NODES)
        room = t->count++;
    if (room != TOPOLOGY_NOBODY)
        t->nodes[room] = (struct topology_node){.place = *place};
    return room;
}

void topology_forget(struct topology *t, int node)
{
    t->nodes[node] = (struct topology_node){0};
    while (t->count > 0 && t->nodes[t->count - 1].place.port == 0)
        t->count--;
}

static void own(struct topology *t, int slot, int node)
{
    int before = topology_owner(t, slot);
    if (before == TOPOLOGY_NOBODY)
        t->_owned++;
    else
        t->nodes[before].slots--;
    t->_owner[slot] = (uint16_t)(node + 1);
    t->nodes[node].slots++;
}

int topology_move(struct topology *t, int slot, const struct redis_place *to)
{
    int node = topology_node(t, to);
    if (node != TOPOLOGY_NOBODY)
        own(t, slot, node);
    return node;
}

/* -- CLUSTER SLOTS: [[first, last, [host, port, id, ...] of the primary, ... of its replicas], ...] ------------- */

static const redisReply *part(const redisReply *reply, size_t i, int type)
{
    bool there = reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements && reply->element[i]->type == type;
    return there ? reply->element[i] : NULL;
}

static bool in_slots(const redisReply *number)
{
    return number && number->integer >= 0 && number->integer < REDIS_SLOTS;
}

/* The host is nil when the node was not told its own ("use the one you have asked"). */
static bool read_range(const redisReply *range, const struct redis_place *answered, struct redis_place *primary)
{
    const redisReply *first = part(range, 0, REDIS_REPLY_INTEGER), *last = part(range, 1, REDIS_REPLY_INTEGER);
    const redisReply *node = part(range, 2, REDIS_REPLY_ARRAY), *host = part(node, 0, REDIS_REPLY_STRING);
    const redisReply *port = part(node, 1, REDIS_REPLY_INTEGER);
    bool named = host && *host->str && strcmp(host->str, "?") != 0;
    if (!in_slots(first) || !in_slots(last) || first->integer > last->integer || !port)
        return false;
    return redis_place_set(primary, named ? host->str : answered->host,
                           named ? (size_t)host->len : strlen(answered->host), port->integer);
}

/* Nodes are added; what the slots say is left as it is. */
static bool add_nodes(struct topology *t, const redisReply *reply, const struct redis_place *answered)
{
    struct redis_place primary;
    for (size_t i = 0; i < reply->elements; i++) {
        if (!read_range(reply->element[i], answered, &primary) || topology_node(t, &primary) == TOPOLOGY_NOBODY)
            return false;
    }
    return true;
}

static void disown_all(struct topology *t)
{
    memset(t->_owner, 0, sizeof t->_owner);
    t->_owned = 0;
    for (int i = 0; i < t->count; i++)
        t->nodes[i].slots = 0;
}

bool topology_take(struct topology *t, const redisReply *reply, const struct redis_place *answered)
{
    struct redis_place primary;
    if (!reply || reply->type != REDIS_REPLY_ARRAY || reply->elements == 0 || !add_nodes(t, reply, answered))
        return false;
    disown_all(t);
    for (size_t i = 0; i < reply->elements; i++) {
        const redisReply *range = reply->element[i];
        bool read = read_range(range, answered, &primary);
        int node = read ? topology_node(t, &primary) : TOPOLOGY_NOBODY;
        for (long long slot = range->element[0]->integer; node >= 0 && slot <= range->element[1]->integer; slot++)
            own(t, (int)slot, node);
    }
    return true;
}
