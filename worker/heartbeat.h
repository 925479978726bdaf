/* Once a second: leases of the live calls and the worker's own entry in Redis. */
#pragma once
#include "worker/worker.h"

struct heartbeat;

RF_NODISCARD struct heartbeat *heartbeat_new(struct worker *w);
void heartbeat_free(struct heartbeat *hb);
