/* How a call ends: its reason, what is left in Redis, and letting go. */
#pragma once
#include "worker/call/call.h"

struct call_reason_row {
    const char *name;
    uint16_t close_code; /* the carrier's socket gets it */
    const char *verdict; /* for the warmer; see CALL_REASONS */
};

const struct call_reason_row *call_reason(enum call_reason why);

/* The end of the journal and the verdict, for Redis: CALL_EV_JOURNAL tells when they are there. */
void call_close_journal(struct call *c);

/* The end is known to Redis, or cannot be: only now may the carrier ask what comes next. Logged and
 * counted, and the call is freed after the callbacks that are running. */
void call_close(struct call *c);
