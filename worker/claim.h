/* Claiming a call in Redis: one round trip that raises the epoch and brings the context and, if
 * the call was under way before, its journal. */
#pragma once
#include "worker/context.h"
#include "worker/history.h"
#include "worker/ticket.h"

struct claim {
    uint64_t epoch, seq;
    struct context context;
    struct history history; /* of the workers before; empty in a new call */
};

RF_NODISCARD struct ticket *claim_send(struct worker *w, const char *call_sid, int n, const char *token,
                                       const char *stream_sid, ticket_fn *fn, void *owner);

/* NULL and *out filled, or why the call was not claimed. Release in both cases. */
const char *claim_take(struct worker *w, const redisReply *reply, struct claim *out);
void claim_release(struct claim *claim);
