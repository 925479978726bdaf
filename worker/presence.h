/* The worker's own entry in Redis (rf:worker:<id>), once a second: what the fleet page and the
 * autoscaler look at. One for the process, over a connection of its own on the main thread. */
#pragma once
#include "worker/shared.h"

struct event_base;
struct presence;

RF_NODISCARD struct presence *presence_new(struct event_base *base, struct shared *shared);

/* Tells at once. */
void presence_drain(struct presence *p);

/* The entry goes by itself. Accepts NULL. */
void presence_free(struct presence *p);
