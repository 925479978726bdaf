/* The index of ended calls (rf:{pN}:ended, one consumer group for all flushers): which calls may have
 * something for Postgres. It only hands out work; what is true stands in the ledger. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/metrics.h"
#include "common/redis/journal.h"
#include "common/redis/keys.h"
#include "common/redis/shards.h"

struct ended;

struct ended_entry {
    char sid[CALL_SID_SIZE];
    struct stream_id id;
};

struct ended_list {
    struct ended_entry *entries; /* owned */
    size_t count;
};

/* All but the numbers is borrowed. count: most entries per partition and read. groups_made counts the groups
 * that were not there. */
RF_NODISCARD struct ended *ended_new(const struct key_space *keys, const char *consumer, int64_t count,
                                     int64_t claim_idle_ms, metric_value *groups_made);
void ended_free(struct ended *ended);

/* The next calls: first the ones this consumer already holds (each once since ended_rewind), then new
 * ones, for which it waits up to block_ms if the shard is the only one. Entries that are no call are removed with a log line. false:
 * Redis failed, or its calls lie in other partitions than ours. Release the list in both cases. */
RF_NODISCARD bool ended_read(struct ended *ended, const struct redis_shard *shard, int64_t block_ms, struct ended_list *list);
void ended_list_release(struct ended_list *list);

/* The next read begins with what this consumer holds: after a start, a lost connection, a failure. */
void ended_rewind(struct ended *ended);

/* Takes over entries that a consumer (this one too) has held for too long, and rewinds if there were any. Then not again
 * until new calls were asked for: they must not wait for ever behind calls that never get through.
 * Returns how many; -1: Redis failed. */
RF_NODISCARD int64_t ended_claim(struct ended *ended, const struct redis_shard *shard);

/* Takes consumers off the groups that hold nothing: this one, or those that have been silent for an hour.
 * false: Redis failed. */
RF_NODISCARD bool ended_leave(const struct ended *ended, const struct redis_shard *shard);
RF_NODISCARD bool ended_forget_silent(const struct ended *ended, const struct redis_shard *shard);

/* Acknowledges and removes an entry: its call is looked after otherwise. false: Redis failed. */
RF_NODISCARD bool ended_drop(const struct ended *ended, redisContext *redis, const struct ended_entry *entry);
