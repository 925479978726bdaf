#include "common/redis/shards.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/sentinel.h"
#include "common/redis/topology.h"

enum { PRIMACY_TIMEOUT_MS = 250 }; /* to connect, and to be answered */

struct redis_shards {
    struct redis_sync_spec spec;
    struct key_space keys;
    struct redis_shard *shards;
    int count;
    int *partitions; /* room for the lists of all shards */
    int turn;        /* the nodes are asked in turn, as the Sentinels are: one may be behind */
    int others_named;
};

struct redis_shards *redis_shards_new(const struct redis_sync_spec *spec)
{
    struct redis_shards *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->spec = *spec;
    s->keys = *spec->keys;
    s->spec.keys = &s->keys;
    return s;
}

void redis_shard_lose(struct redis_shard *shard)
{
    if (shard->redis)
        redisFree(shard->redis);
    shard->redis = NULL;
}

static void clear(struct redis_shards *s)
{
    for (int i = 0; i < s->count; i++)
        redis_shard_lose(&s->shards[i]);
    free(s->shards);
    free(s->partitions);
    s->shards = NULL;
    s->partitions = NULL;
    s->count = 0;
}

void redis_shards_free(struct redis_shards *shards)
{
    if (!shards)
        return;
    clear(shards);
    free(shards);
}

int redis_shards_count(const struct redis_shards *shards)
{
    return shards->count;
}

struct redis_shard *redis_shards_at(struct redis_shards *shards, int i)
{
    return &shards->shards[i];
}

bool redis_shards_complete(const struct redis_shards *shards)
{
    int held = 0;
    for (int i = 0; i < shards->count; i++)
        held += shards->shards[i].count;
    return held == shards->keys.partitions;
}

static int slot_of(const struct key_space *keys, int partition)
{
    char key[KEY_SIZE];
    key_of_partition(key, keys, KEY_LIVE, partition);
    return redis_slot(key, strlen(key));
}

struct redis_shard *redis_shards_of(struct redis_shards *shards, int slot)
{
    for (int i = 0; i < shards->count; i++) {
        for (int k = 0; k < shards->shards[i].count; k++) {
            if (slot_of(&shards->keys, shards->shards[i].partitions[k]) == slot)
                return &shards->shards[i];
        }
    }
    return NULL;
}

/* -- finding ----------------------------------------------------------------------------------- */

/* Takes over the connection to the same place, if there is one. */
static redisContext *take_connection(struct redis_shards *s, const struct redis_place *place)
{
    redisContext *redis = NULL;
    for (int i = 0; i < s->count && !redis; i++) {
        if (s->shards[i].redis && redis_place_same(&s->shards[i]._place, place)) {
            redis = s->shards[i].redis;
            s->shards[i].redis = NULL;
        }
    }
    return redis;
}

static bool make_room(struct redis_shards *next, int partitions)
{
    next->shards = calloc((size_t)partitions, sizeof *next->shards);
    next->partitions = calloc((size_t)partitions, sizeof *next->partitions);
    return next->shards && next->partitions;
}

static struct redis_shard *add_shard(struct redis_shards *next, const struct redis_place *place, int *partitions)
{
    struct redis_shard *shard = &next->shards[next->count];
    shard->number = next->count++;
    shard->partitions = partitions;
    shard->_place = *place;
    return shard;
}

static void deal_out(struct redis_shards *next, const struct topology *map, const struct key_space *keys)
{
    int *room = next->partitions;
    for (int node = 0; node < map->count; node++) {
        struct redis_shard *shard = NULL;
        for (int p = 0; p < keys->partitions; p++) {
            if (topology_owner(map, slot_of(keys, p)) != node)
                continue;
            if (!shard)
                shard = add_shard(next, &map->nodes[node].place, room);
            *room++ = p;
            shard->count++;
        }
    }
}

static void adopt(struct redis_shards *s, struct redis_shards *next)
{
    for (int i = 0; i < next->count; i++) {
        if (!next->shards[i].redis)
            next->shards[i].redis = take_connection(s, &next->shards[i]._place);
    }
    clear(s);
    s->shards = next->shards;
    s->partitions = next->partitions;
    s->count = next->count;
}

static bool take_cluster(struct redis_shards *s, redisContext *door, const struct redis_place *found,
                         struct redis_refusal *why)
{
    struct redis_shards next = {.count = 0};
    struct topology *map = calloc(1, sizeof *map);
    redisReply *reply = map ? redisCommand(door, "CLUSTER SLOTS") : NULL;
    bool known = reply && topology_take(map, reply, found), room = known && make_room(&next, s->keys.partitions);
    if (room)
        deal_out(&next, map, &s->keys);
    else
        snprintf(why->text, sizeof why->text, "the cluster does not say who has which slots: %s",
                 !reply ? door->errstr : reply->type == REDIS_REPLY_ERROR ? reply->str : "no slots");
    freeReplyObject(reply);
    free(map);
    if (room)
        adopt(s, &next);
    else
        clear(&next);
    return room;
}

static bool take_server(struct redis_shards *s, redisContext *redis, const struct redis_place *found,
                        struct redis_refusal *why)
{
    struct redis_shards next = {.count = 0};
    struct redis_shard *shard;
    if (!make_room(&next, s->keys.partitions)) {
        redisFree(redis);
        clear(&next);
        snprintf(why->text, sizeof why->text, "out of memory");
        return false;
    }
    shard = add_shard(&next, found, next.partitions);
    shard->alone = true;
    shard->redis = redis;
    while (shard->count < s->keys.partitions) {
        shard->partitions[shard->count] = shard->count;
        shard->count++;
    }
    adopt(s, &next);
    s->others_named = 0;
    return true;
}

/* A node that is connected knows as well as any. */
static bool ask_a_node(struct redis_shards *s, struct redis_refusal *why)
{
    for (int i = 0; i < s->count; i++) {
        struct redis_shard *shard = &s->shards[++s->turn % s->count];
        struct redis_place place = shard->_place;
        if (shard->redis && !shard->alone && take_cluster(s, shard->redis, &place, why))
            return true;
    }
    return false;
}

bool redis_shards_find(struct redis_shards *shards, struct redis_refusal *why)
{
    struct redis_place found;
    redisContext *redis;
    bool cluster, taken;
    why->misfit = false;
    if (ask_a_node(shards, why))
        return true;
    redis = redis_sync_find(&shards->spec, &found, &cluster, why);
    if (!redis) {
        shards->spec.sentinel++; /* one that is behind leads to a server that is dead */
        return false;
    }
    if (!cluster)
        return take_server(shards, redis, &found, why);
    taken = take_cluster(shards, redis, &found, why);
    redisFree(redis);
    return taken;
}

enum redis_primacy redis_shards_primacy(struct redis_shards *shards)
{
    struct redis_sync_spec *spec = &shards->spec;
    struct redis_place named;
    if (!spec->url->master || shards->count == 0 ||
        !sentinel_find_one(spec->url, ++spec->sentinel, PRIMACY_TIMEOUT_MS, &named))
        return REDIS_PRIMARY;
    if (sentinel_disagrees(&shards->others_named, &named, &shards->shards->_place))
        return REDIS_REPLACED; /* who named another is the next to be asked where to */
    return shards->others_named > 0 ? REDIS_DOUBTED : REDIS_PRIMARY;
}

bool redis_shard_connect(struct redis_shards *shards, struct redis_shard *shard, struct redis_refusal *why)
{
    if (!shard->redis && shard->alone) {
        snprintf(why->text, sizeof why->text, "the connection was lost");
        return false;
    }
    if (!shard->redis)
        shard->redis = redis_sync_connect(&shards->spec, &shard->_place, why);
    return shard->redis != NULL;
}
