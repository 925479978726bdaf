/* The places of a process: RINGFLEET_MAX_CALLS is one number for all its loops. Any thread. */
#pragma once
#include <stdatomic.h>

#include "common/base/base.h"

struct places {
    _Atomic int taken;
    int max; /* set before the first loop runs */
};

/* false: all are taken. */
static inline bool places_take(struct places *p)
{
    if (atomic_fetch_add_explicit(&p->taken, 1, memory_order_relaxed) < p->max)
        return true;
    atomic_fetch_sub_explicit(&p->taken, 1, memory_order_relaxed);
    return false;
}

static inline void places_give(struct places *p)
{
    atomic_fetch_sub_explicit(&p->taken, 1, memory_order_relaxed);
}

static inline bool places_full(struct places *p)
{
    return atomic_load_explicit(&p->taken, memory_order_relaxed) >= p->max;
}

/* Between a take that fails and its correction the raw number is one too high. */
static inline int places_taken(struct places *p)
{
    int taken = atomic_load_explicit(&p->taken, memory_order_relaxed);
    return taken < p->max ? taken : p->max;
}
