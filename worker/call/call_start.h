/* How a call begins: the carrier's start with its token, and the claim in Redis. */
#pragma once
#include "worker/call/call.h"

/* Checks the token and asks Redis for the call: CALL_EV_CLAIM follows. false: the call has ended. */
RF_NODISCARD bool call_start(struct call *c, const struct carrier_event *ev);

/* Takes Redis' answer: the context, and the history of a call that was under way. false: the call
 * has ended. */
RF_NODISCARD bool call_start_claimed(struct call *c, const redisReply *reply);
