#include "worker/heartbeat.h"

#include <limits.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "worker/call/call.h"

/* A lease survives two missed renewals. */
enum { RENEWALS_PER_LEASE = 3 };

/* Calls do not have their beat at once: that takes some ms for hundreds of them, for which everybody's audio would wait. */
enum { ROUND_US = 1000000, ROUND_PARTS = 50 };

struct heartbeat {
    struct worker *w;
    struct event *timer;
    bool soon;         /* the next round is at once, and for all at once */
    bool renews;       /* in this round: the leases too */
    int part, each;    /* of this round; calls in each */
    int64_t round_us;  /* when it began */
    int64_t renewed_ms;
    int64_t due_us;    /* the timer; 0: whenever */
    int64_t late_us;   /* at most, in this round */
};

static void measure_lag(struct heartbeat *hb, int64_t now_us)
{
    int64_t late_us = hb->due_us ? now_us - hb->due_us : 0;
    hb->late_us = late_us > hb->late_us ? late_us : hb->late_us;
}

static void begin_round(struct heartbeat *hb, int64_t now_us)
{
    struct worker *w = hb->w;
    int64_t now_ms = now_us / 1000;
    if (hb->round_us)
        metric_observe_us(&w->metrics.loop_lag, hb->late_us);
    hb->late_us = 0;
    hb->round_us = now_us;
    hb->part = 0;
    hb->renews = now_ms - hb->renewed_ms >= w->config->lease_seconds * 1000 / RENEWALS_PER_LEASE;
    if (hb->renews)
        hb->renewed_ms = now_ms;
    hb->each = 1 + w->call_count / ROUND_PARTS;
    w->next_beat = w->calls;
}

static void beat(struct heartbeat *hb, struct call *c)
{
    if (c->journal.w)
        journal_look(&c->journal);
    if (hb->renews && c->journal.w)
        journal_renew(&c->journal);
    call_tick(c);
}

/* Whoever has had its beat may be gone: the next one is kept where the end of a call looks after it. */
static void beat_some(struct heartbeat *hb, int count)
{
    struct worker *w = hb->w;
    while (w->next_beat && count-- > 0) {
        struct call *c = w->next_beat;
        w->next_beat = c->next;
        beat(hb, c);
    }
}

/* Out of memory: the next turn tries again. */
static void wait_until(struct heartbeat *hb, int64_t due_us, int64_t now_us)
{
    int64_t us = due_us > now_us ? due_us - now_us : 0;
    struct timeval delay = {us / 1000000, us % 1000000};
    hb->due_us = now_us + us;
    if (event_add(hb->timer, &delay) != 0)
        event_active(hb->timer, EV_TIMEOUT, 0);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct heartbeat *hb = arg;
    struct worker *w = hb->w;
    int64_t now_us = clock_mono_us();
    bool soon = hb->soon;
    (void)fd;
    (void)what;
    hb->soon = false; /* whoever asks for it during the beats is not forgotten */
    measure_lag(hb, now_us);
    atomic_store_explicit(&w->beat_ms, now_us / 1000, memory_order_relaxed);
    if (soon || !w->next_beat)
        begin_round(hb, now_us);
    beat_some(hb, soon ? INT_MAX : hb->each);
    hb->part = w->next_beat ? hb->part + 1 : ROUND_PARTS;
    wait_until(hb, hb->round_us + (int64_t)hb->part * ROUND_US / ROUND_PARTS, clock_mono_us());
}

struct heartbeat *heartbeat_new(struct worker *w)
{
    struct heartbeat *hb = calloc(1, sizeof *hb);
    if (!hb)
        return NULL;
    hb->w = w;
    hb->timer = evtimer_new(w->base, on_timer, hb);
    if (!hb->timer) {
        heartbeat_free(hb);
        return NULL;
    }
    wait_until(hb, 0, clock_mono_us());
    return hb;
}

void heartbeat_soon(struct heartbeat *hb)
{
    hb->soon = true;
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
