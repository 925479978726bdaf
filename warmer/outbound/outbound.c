#include "warmer/outbound/outbound.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/headroom.h"
#include "common/base/log.h"
#include "common/redis/async.h"
#include "warmer/outbound/attempt.h"
#include "warmer/outbound/hours.h"
#include "warmer/outbound/link.h"
#include "warmer/outbound/provider.h"
#include "warmer/outbound/queue.h"

enum { ATTEMPTS_MAX = 32, IDLE_MS = 1000, BUSY_MS = 50 };

struct outbound {
    struct warmer *w;
    struct attempts *attempts;
    struct event *timer;
    bool asking, stopped;
};

static void look_in(struct outbound *o, int64_t ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    if (!o->stopped)
        event_add(o->timer, &tv);
}

/* What it was to be is not known: it leaves the queue, and its call says so. A call that was dialled goes its own way. */
static void take_out(struct outbound *o, const char *sid, bool dial)
{
    static const char why[] = "its job in the queue is not understood";
    log_error(NULL, "a job of the queue is not understood", log_str("call", sid));
    if (dial && call_sid_valid(sid)) {
        metric_add(&o->w->metrics.dial_failed, 1);
        link_status(o->w, sid, "failed", "", why);
    }
    queue_over(o->w, sid);
}

static void take(struct outbound *o, const redisReply *reply, bool dial)
{
    const char *sid = redis_text(reply, 1);
    json_t *job = json_loads(redis_text(reply, 2), 0, NULL);
    if (!job || !call_sid_valid(sid)) {
        take_out(o, sid, dial);
        json_decref(job);
    } else if (dial) {
        attempt_dial(o->attempts, sid, job);
    } else {
        attempt_look_after(o->attempts, sid, job);
    }
}

/* DIAL sid job | LOOK sid job | LATER ms */
static void on_taken(const redisReply *reply, void *arg)
{
    struct outbound *o = arg;
    const char *word = redis_word(reply);
    int64_t wait = strcmp(word, "LATER") == 0 ? strtoll(redis_text(reply, 1), NULL, 10) : 0;
    o->asking = false;
    if (strcmp(word, "DIAL") == 0 || strcmp(word, "LOOK") == 0)
        take(o, reply, strcmp(word, "DIAL") == 0);
    else if (wait <= 0)
        wait = IDLE_MS; /* Redis is away */
    look_in(o, wait);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct outbound *o = arg;
    (void)fd;
    (void)what;
    if (o->asking || o->stopped)
        return;
    if (attempts_count(o->attempts) >= ATTEMPTS_MAX || !headroom_left()) {
        look_in(o, BUSY_MS);
        return;
    }
    o->asking = queue_take(o->w, on_taken, o) == 0;
    if (!o->asking)
        look_in(o, IDLE_MS);
}

void outbound_kick(struct outbound *o)
{
    look_in(o, 0);
}

bool outbound_wanted(const struct warmer_config *config)
{
    return provider_any(config);
}

struct outbound *outbound_new(struct warmer *w)
{
    struct outbound *o;
    if (!hours_good(w->config.calling_hours)) {
        log_error(NULL, "RINGFLEET_CALLING_HOURS is not right", log_str("value", w->config.calling_hours),
                  log_str("wanted", "hours such as 08:00-21:00"));
        return NULL;
    }
    o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->w = w;
    o->attempts = attempts_new(w);
    o->timer = evtimer_new(w->base, on_timer, o);
    if (o->attempts && o->timer) {
        look_in(o, IDLE_MS);
        return o;
    }
    outbound_stop(o);
    outbound_free(o);
    return NULL;
}

void outbound_stop(struct outbound *o)
{
    if (!o)
        return;
    o->stopped = true;
    if (o->timer)
        event_del(o->timer);
}

void outbound_free(struct outbound *o)
{
    if (!o)
        return;
    attempts_free(o->attempts);
    if (o->timer)
        event_free(o->timer);
    free(o);
}

size_t outbound_busy(const struct outbound *o)
{
    return o ? attempts_count(o->attempts) : 0;
}
