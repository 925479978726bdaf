#include "worker/drain.h"

#include <stdlib.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/call.h"

enum {
    LOOK_MS = 100,
    SPREAD_LOOKS = 50, /* a fiftieth of the calls goes in each: the AI, the warmer and the next workers do not get all at once */
    PAUSE_MS = 10000,  /* how long a call is given to come to a pause */
    LEAVE_MS = 5000,   /* how long the end of its journal may take after that */
};

struct drain {
    struct worker *w;
    struct event *timer;
    int64_t until_ms; /* calls may finish */
    int each;         /* calls that may be handed over in one look; 0: until the first one */
};

static bool look_at(struct call *c, int64_t late_ms, bool may_go)
{
    if (late_ms >= PAUSE_MS + LEAVE_MS) {
        call_drop(c);
        return false;
    }
    if (late_ms < PAUSE_MS && !(may_go && call_may_hand_over(c)))
        return false;
    call_on(c, &(struct call_event){.kind = CALL_EV_HAND_OVER});
    return true;
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct drain *d = arg;
    int64_t late_ms = clock_mono_ms() - d->until_ms;
    struct call *next;
    int gone = 0;
    (void)fd;
    (void)what;
    if (late_ms < 0)
        return;
    if (d->each == 0)
        d->each = 1 + d->w->call_count / SPREAD_LOOKS;
    for (struct call *c = d->w->calls; c; c = next) {
        next = c->next;
        gone += look_at(c, late_ms, gone < d->each);
    }
}

struct drain *drain_begin(struct worker *w)
{
    struct timeval look = {0, LOOK_MS * 1000};
    struct drain *d = calloc(1, sizeof *d);
    if (d) {
        d->w = w;
        d->until_ms = clock_mono_ms() + w->config->drain_seconds * 1000;
        d->timer = event_new(w->base, -1, EV_PERSIST, on_look, d);
        if (d->timer && event_add(d->timer, &look) == 0)
            return d;
    }
    log_error(NULL, "no memory to hand calls over");
    drain_free(d);
    return NULL;
}

void drain_free(struct drain *d)
{
    if (!d)
        return;
    if (d->timer)
        event_free(d->timer);
    free(d);
}
