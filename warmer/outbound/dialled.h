/* The carrier's webhooks about calls that we dialled; they come to addresses that name the call. */
#pragma once
#include "warmer/server.h"

void answered_handle(struct request *r);
/* POST /voice/machine/{call_sid}: the carrier has listened for a while and says who has picked up. */
void machine_handle(struct request *r);
/* POST /voice/status/{call_sid} */
void dialled_status_handle(struct request *r);
