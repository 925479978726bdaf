/* The worker's own entry in Redis (rf:worker:<id>), once a second: what the fleet page and the
 * autoscaler look at. One for the process, over a connection of its own on the main thread. */
#pragma once
#include "worker/shared.h"

struct event_base;
struct presence;

/* on_misfit(arg): the fleet has another number of partitions, so this worker is of no use to it. */
RF_NODISCARD struct presence *presence_new(struct event_base *base, struct shared *shared, void (*on_misfit)(void *arg),
                                           void *arg);

/* Tells at once. */
void presence_drain(struct presence *p);

/* The entry goes by itself. Accepts NULL. */
void presence_free(struct presence *p);
