/* What a call needs to know, as the warmer left it in Redis: read once, at the claim. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"
#include "common/redis/context.h"

/* Every field is a text of its own; one "" for all that the context did not have. */
struct context {
#define X(name) char *name;
    CONTEXT_FIELDS(X)
#undef X
};

/* From the flat field, value array of HGETALL. -1 when out of memory; release in both cases. */
RF_NODISCARD int context_take(struct context *ctx, const redisReply *fields);
void context_release(struct context *ctx);

/* FULL, or COMPACT; also while FULL has not come yet. */
const char *context_prompt(const struct context *ctx, bool full);

/* The greeting is over: what only the time before it needed is given back, and is "" from now on. */
void context_greeted(struct context *ctx);
