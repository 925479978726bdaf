/* The event base of a loop, and its rounds. */
#pragma once
#include <event2/event.h>

#include "common/base/base.h"

/* Without locks: one thread uses it, others only write to the loop's pipe. NULL when out of memory. */
RF_NODISCARD struct event_base *round_base_new(void);

/* One round: what is ready is served once, however much comes meanwhile. waits: until there is something.
 * false: the loop was told to stop, or cannot go on. */
RF_NODISCARD bool round_once(struct event_base *base, bool waits);
