/* Ended calls on their way through the flusher: the Redis side, before and after the transaction. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/keys.h"
#include "flusher/ended.h"
#include "flusher/journal_read.h"
#include "flusher/reply_arena.h"

struct flush_call {
    char sid[CALL_SID_SIZE];
    struct stream_id index_id;              /* of its entry on the ended index */
    struct stream_id after[STREAM_COUNT];   /* journals were read up to here in earlier pages */
    /* batch_read */
    bool live;                              /* carried by a worker right now: not ours yet */
    bool more;                              /* a journal goes on after this page */
    struct journal journals[STREAM_COUNT];
    /* apply_calls */
    bool is_new;                            /* no ledger row was there before */
    struct stream_id mark[STREAM_COUNT];    /* ledger: applied up to here before this transaction */
    struct stream_id target[STREAM_COUNT];  /* and after it */
    size_t applied, turns;                  /* summed over the pages */
    /* batch_done */
    bool lacks_end;                         /* somebody deleted entries at the end of its writes */
    /* the lane */
    bool held;                              /* Postgres fails on it for no reason of the call's; it stays pending */
};

/* Reads the next page of both journals of each call, and whether it is live, in one round trip. The
 * journals borrow from the arena. *now_ms is the Redis server's clock. false: Redis failed, or memory is out. */
RF_NODISCARD bool batch_read(struct flush_call *calls, size_t count, redisContext *redis, struct reply_arena *arena,
                             const struct key_space *keys, int64_t *now_ms);

/* The last entry that was read of a journal, in this page or an earlier one. */
struct stream_id batch_last_read(const struct flush_call *call, enum journal_stream s);

/* After the commit: the next batch_read continues behind the page that was applied. */
void batch_turn_page(struct flush_call *call);

struct batch_retention {
    int64_t seconds;
    int64_t final_wait_seconds; /* of a call without a final status */
};

/* Says rf_done for the calls, in one round trip: their journals were read to the end and are in
 * Postgres. false: Redis failed; the calls come again and nothing will be left to apply. */
RF_NODISCARD bool batch_done(struct flush_call *calls, size_t count, redisContext *redis,
                             const struct key_space *keys, const struct batch_retention *retention);

void batch_release(struct flush_call *calls, size_t count);
