/* The servers of the fleet's Redis and the partitions each of them holds, for threads that carry no loop: one server
 * with all of them, or the primaries of a cluster.
 *
 * Connections know nothing of redirects. A node that answers MOVED, ASK or TRYAGAIN has not done what it was asked;
 * whoever asked takes that as a failure like any other, has the shards found again, and repeats what is not done. */
#pragma once
#include "common/redis/sync.h"

struct redis_shards;

struct redis_shard {
    int number;          /* from 0; fewer than there are partitions */
    redisContext *redis; /* NULL: not connected */
    int *partitions, count;
    bool alone;          /* it is the only server: a command may name keys of several partitions */
    struct redis_place _place;
};

/* spec is copied, with keys; what it points to is borrowed. NULL: out of memory. */
RF_NODISCARD struct redis_shards *redis_shards_new(const struct redis_sync_spec *spec);
void redis_shards_free(struct redis_shards *shards); /* accepts NULL */

/* Learns where the partitions are (again). Connections to servers that are still among them are kept; the others
 * are for redis_shard_connect to make. On false, with the reason, everything is as it was. */
RF_NODISCARD bool redis_shards_find(struct redis_shards *shards, struct redis_refusal *why);

/* Whether the server is still the primary, by one of its Sentinels; see sentinel_disagrees. Without Sentinels, or while
 * none answers, it is. DOUBTED: one names another, and the next will tell. Blocks for up to half a second. */
enum redis_primacy { REDIS_PRIMARY, REDIS_DOUBTED, REDIS_REPLACED };
enum redis_primacy redis_shards_primacy(struct redis_shards *shards);

/* None before they are found. */
int redis_shards_count(const struct redis_shards *shards);
struct redis_shard *redis_shards_at(struct redis_shards *shards, int i);

/* Each partition is in one. */
bool redis_shards_complete(const struct redis_shards *shards);

/* The shard that has the partition whose keys are in this slot; NULL if none has. */
struct redis_shard *redis_shards_of(struct redis_shards *shards, int slot);

/* Connects if it is not. */
RF_NODISCARD bool redis_shard_connect(struct redis_shards *shards, struct redis_shard *shard,
                                      struct redis_refusal *why);
void redis_shard_lose(struct redis_shard *shard);
