/* Memory for many Redis replies that go all at once. A journal's entry is some twenty objects to the client
 * library; giving each its own piece of the heap costs more than everything else that is done with it. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"

struct reply_chunk;

/* Zero it. One thread. */
struct reply_arena {
    struct reply_chunk *_chunks; /* the newest first */
    size_t _used;                /* of the newest */
    redisReplyObjectFunctions *_before; /* the connection's own, between begin and end */
};

/* Frees the replies that are in it, and lets those that are read from now on live there, up to end. They
 * must not be freed. No reply may be half read when it begins. One that is at the end, since the connection was lost
 * in its middle, is forgotten: nothing more may be read from that connection, only closing it is left. */
void reply_arena_begin(struct reply_arena *arena, redisContext *redis);
void reply_arena_end(struct reply_arena *arena, redisContext *redis);

void reply_arena_release(struct reply_arena *arena);
