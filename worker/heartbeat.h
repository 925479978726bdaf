/* Once a second, each at a moment of its own: the leases of a loop's live calls, and what only time can tell them. */
#pragma once
#include "worker/worker.h"

struct heartbeat;

RF_NODISCARD struct heartbeat *heartbeat_new(struct worker *w);
/* Redis was away: leases are renewed in this loop turn. */
void heartbeat_soon(struct heartbeat *hb);

void heartbeat_free(struct heartbeat *hb);
