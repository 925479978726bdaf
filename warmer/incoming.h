/* The first webhook of a call. */
#pragma once
#include "warmer/server.h"

/* As incoming_handle, for a call whose first answer may have been lost: one that has had a stream goes on
 * as after the end of it. */
void incoming_rescue(struct request *r);
