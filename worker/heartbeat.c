#include "worker/heartbeat.h"

#include <stdlib.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "worker/call/call.h"

/* A lease survives two missed renewals. */
enum { RENEWALS_PER_LEASE = 3, BEAT_US = 1000000 };

struct heartbeat {
    struct worker *w;
    struct event *timer;
    int64_t renewed_ms;
    int64_t due_us; /* the next beat; 0: whenever */
};

static void measure_lag(struct heartbeat *hb)
{
    int64_t now = clock_mono_us();
    if (hb->due_us)
        metric_observe_us(&hb->w->metrics.loop_lag, now > hb->due_us ? now - hb->due_us : 0);
    hb->due_us = now + BEAT_US;
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    struct heartbeat *hb = arg;
    int64_t now = clock_mono_ms();
    bool renew = now - hb->renewed_ms >= hb->w->config->lease_seconds * 1000 / RENEWALS_PER_LEASE;
    struct call *next;
    (void)fd;
    (void)what;
    measure_lag(hb);
    atomic_store_explicit(&hb->w->beat_ms, now, memory_order_relaxed);
    for (struct call *c = hb->w->calls; c; c = next) {
        next = c->next;
        if (c->journal.w)
            journal_look(&c->journal);
        if (renew && c->journal.w)
            journal_renew(&c->journal);
        call_tick(c);
    }
    if (renew)
        hb->renewed_ms = now;
}

struct heartbeat *heartbeat_new(struct worker *w)
{
    struct timeval second = {0, BEAT_US};
    struct heartbeat *hb = calloc(1, sizeof *hb);
    if (!hb)
        return NULL;
    hb->w = w;
    hb->timer = event_new(w->base, -1, EV_PERSIST, on_beat, hb);
    if (!hb->timer || event_add(hb->timer, &second) != 0) {
        heartbeat_free(hb);
        return NULL;
    }
    return hb;
}

void heartbeat_soon(struct heartbeat *hb)
{
    hb->renewed_ms = 0;
    hb->due_us = 0;
    event_active(hb->timer, EV_TIMEOUT, 0);
}

void heartbeat_free(struct heartbeat *hb)
{
    if (!hb)
        return;
    if (hb->timer)
        event_free(hb->timer);
    free(hb);
}
