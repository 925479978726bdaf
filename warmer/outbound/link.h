/* The two ids of a call that we dialled: ours, and the one by which others know it. */
#pragma once
#include "warmer/server.h"

/* Keeps both ways: the alias, from which ours is found, and the call's own record. Ids may be "". What cannot be
 * kept is counted; the next webhook brings it again. */
void link_call(struct warmer *w, const char *call_sid, const char *provider_call_sid, const char *conversation_id);

/* A webhook that brings the carrier's id: goes on with ours, if we dialled the call, else with the carrier's. The
 * request is answered with 503 if Redis cannot be asked. */
void link_resolve(struct request *r, void (*handle)(struct request *r));

/* What a provider says of a call that we dialled, as the carrier's callbacks would: status is the carrier's word, a
 * terminal one ends the call; reason and duration (seconds) may be "". */
void link_status(struct warmer *w, const char *call_sid, const char *status, const char *duration, const char *reason);
