/* What a call has around it but for its two legs, for tests without Redis: the claim that finds what the
 * test says, a journal that only counts, no tools. */
#pragma once
#include "worker/call/call.h"

extern struct surroundings {
    struct {
        ticket_fn *fn;
        void *owner;
    } asked; /* of Redis, last */
    const char *answered_by, *history; /* what the claim finds */
    bool left_idle;                    /* of the worker before */
    char verdict[64], fact[128];       /* what the journal got last */
    int turns;
} around;
