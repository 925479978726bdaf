/* A call's context: from the database within the deadline, else from the last good snapshot, else a minimal
 * one; rendered and complete. The one place where prompts are made. */
#pragma once
#include "warmer/context.h"
#include "warmer/load.h"
#include "warmer/warmer.h"

enum warm_source {
    WARM_DATABASE,
    WARM_PARTIAL, /* the database's, too: but the booked times, or a stranger's lead, are still to come, and prompt_full with them */
    WARM_SNAPSHOT,
    WARM_MINIMAL,
    WARM_UNKNOWN, /* the database answered: no business has this number */
    WARM_NOTHING, /* the database, asked on after a first answer, had none */
};

struct warmed {
    enum warm_source source;
    struct context *context; /* may be moved away, unless it is lent; empty with UNKNOWN and NOTHING */
    bool recorded;           /* the call's row is certainly in the database */
    bool more;               /* the database is still being asked: there will be a second answer */
    bool lent;               /* to be left there until then: the second answer is the same context, completed, and not lent */
    bool late;               /* a second answer that came after the deadline */
};

typedef void warm_fn(const struct warmed *warmed, void *arg);

struct warm_call {
    struct load_call load;
    const char *channel;     /* CONTEXT_VOICE, .. */
    const char *answered_by; /* "" if nobody said */
    bool by_id;              /* what stands for the business' number is its id; for no call */
};

/* fn is called once, or twice if the first answer says `more`; the first may come from inside. For whom the load is early
 * (load.h) the first one is PARTIAL and lent, without prompt_full, if there is more to come; others get such a one, with a
 * prompt_full of what there is, only when the deadline has passed. Texts are copied. -1, without calling fn: out of memory. */
RF_NODISCARD int warm(struct warmer *w, const struct warm_call *call, warm_fn *fn, void *arg);

const char *warm_source_name(enum warm_source source);
