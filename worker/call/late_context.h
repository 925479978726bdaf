/* A call that was answered while the database was late or away has less of a context; and one whose worker was very fast,
 * which came before the booked times. The warmer fills in the rest when it comes; here the worker looks for it. */
#pragma once
#include "worker/call/call.h"

/* Once a second: asks Redis, while the context is not the database's and hope is left. CALL_EV_CONTEXT
 * follows when the full one is there. */
void late_context_look(struct call *c);

/* Whether the prompt upgrade should wait a moment: the first call asks Redis once more. */
bool late_context_wait(struct call *c);

/* The booked times are still to come. */
bool late_context_lacks_calendar(const struct call *c);
