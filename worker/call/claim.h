/* Claiming a call in Redis: one round trip that raises the epoch and brings the context and, if
 * the call was under way before, its journal. */
#pragma once
#include "worker/call/context.h"
#include "worker/call/history.h"
#include "worker/ticket.h"
#include "worker/tools/calendar.h"

/* The fact with which a worker leaves a call to another, and its value when nobody waits for a word. */
#define CLAIM_HANDED_OVER "handed_over"
#define CLAIM_IDLE "idle"
/* The fact that the caller hears the greeting from now on, and its value's unit: ms since 1970. */
#define CLAIM_GREETING_BEGAN "greeting_began_ms"

enum { CLAIM_BOOKINGS_MAX = 16 }; /* appointments that one call may book */

struct claim {
    uint64_t epoch, seq;
    int64_t clock_skew_ms; /* wall clock of the Redis that has the call, minus our monotonic one */
    struct context context;
    struct history history; /* of the workers before; empty in a new call */
    bool idle; /* the worker before handed the call over when nobody waited for a word */
    int64_t greeting_began_ms; /* wall clock of a worker before; 0: the caller has not heard any of it */
    struct span *bookings; /* this call's own, of any worker; NULL before the first */
    int booking_count;
};

RF_NODISCARD struct ticket *claim_send(struct worker *w, const char *call_sid, int n, const char *token,
                                       const char *stream_sid, ticket_fn *fn, void *owner);

/* NULL and *out filled, or why the call was not claimed. Release in both cases. */
const char *claim_take(const redisReply *reply, struct claim *out);

/* The call has booked this time. Past the bound, and when out of memory, it is forgotten. */
void claim_add_booking(struct claim *claim, struct span time);

void claim_release(struct claim *claim);
