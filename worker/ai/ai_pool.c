#include "worker/ai/ai_pool.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/headroom.h"
#include "common/base/log.h"

enum {
    LOOK_MS = 500,            /* how often the pool looks after itself */
    BACKOFF_MIN_MS = 500,
    BACKOFF_MAX_MS = 30000,
    PERMANENT_MS = 60000,     /* between two tries with a key that was refused */
    SETTLED_MS = 2000,        /* auth is checked after the 101: an older socket was accepted */
};

struct idle {
    struct ai_pool *pool;
    struct ws_conn *ws;
    struct ai_memory memory;
    int64_t opened_ms; /* 0: still dialling */
    struct idle *next;
};

struct ai_pool {
    struct worker *w;
    struct idle *idle; /* newest first */
    int count;
    struct event *timer;
    int64_t next_try_ms;
    int64_t backoff_ms;
    struct log_limit limit;
};

static const struct ws_handler events;

static void unlink_idle(struct idle *one)
{
    struct idle **at = &one->pool->idle;
    while (*at != one)
        at = &(*at)->next;
    *at = one->next;
    one->pool->count--;
}

static void show(struct ai_pool *pool)
{
    uint64_t ready = 0;
    for (const struct idle *one = pool->idle; one; one = one->next)
        ready += one->opened_ms != 0;
    metric_set(&pool->w->metrics.ai_pool_ready, ready);
}

static void wait_before_next(struct ai_pool *pool, int64_t at_least_ms)
{
    int64_t wait = pool->backoff_ms > at_least_ms ? pool->backoff_ms : at_least_ms;
    pool->next_try_ms = clock_mono_ms() + wait / 2 + random_below((uint32_t)wait / 2 + 1);
    pool->backoff_ms = pool->backoff_ms * 2 < BACKOFF_MAX_MS ? pool->backoff_ms * 2 : BACKOFF_MAX_MS;
}

static void failed(struct ai_pool *pool, const char *why, int64_t at_least_ms)
{
    metric_add(&pool->w->metrics.ai_pool_failed, 1);
    wait_before_next(pool, at_least_ms);
    if (log_allow(&pool->limit))
        log_warn(NULL, "AI session could not be opened ahead", log_str("why", why),
                 log_int("retry_ms", pool->next_try_ms - clock_mono_ms()),
                 log_int("suppressed", pool->limit.suppressed));
}

static void on_open(struct ws_conn *ws, void *arg)
{
    struct idle *one = arg;
    (void)ws;
    one->opened_ms = clock_mono_ms();
    show(one->pool);
}

/* What an unconfigured session says: that it was created, or why it will not be. */
static void on_text(struct ws_conn *ws, char *text, size_t len, void *arg)
{
    struct idle *one = arg;
    struct ai_event ev;
    (void)ws;
    one->pool->w->provider->parse(&one->memory, text, len, &ev);
    if (ev.kind == AI_BAD)
        failed(one->pool, ev.error, ev.permanent ? PERMANENT_MS : 0);
    ai_event_release(&ev);
}

static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct idle *one = arg;
    struct ai_pool *pool = one->pool;
    int64_t now = clock_mono_ms();
    bool final = ai_close_is_final(code, ws_http_status(ws));
    if (now >= pool->next_try_ms && (final || one->opened_ms == 0 || now - one->opened_ms < SETTLED_MS))
        failed(pool, why, final ? PERMANENT_MS : 0);
    unlink_idle(one);
    free(one);
    show(pool);
}

static const struct ws_handler events = {NULL, on_open, on_text, on_closed, NULL};

static void open_one(struct ai_pool *pool)
{
    struct idle *one = calloc(1, sizeof *one);
    if (!one)
        return;
    one->pool = pool;
    one->ws = ws_dial(pool->w, &pool->w->ai, AI_MESSAGE_MAX, &events, one);
    if (!one->ws) {
        free(one);
        return;
    }
    one->next = pool->idle;
    pool->idle = one;
    pool->count++;
}

static void close_one(struct idle *one)
{
    ws_close(one->ws, WS_CLOSE_NORMAL, "");
    unlink_idle(one);
    free(one);
}

static void close_old(struct ai_pool *pool, int64_t now)
{
    int64_t max_ms = pool->w->config->ai_pool_age_seconds * 1000;
    struct idle *next;
    for (struct idle *one = pool->idle; one; one = next) {
        next = one->next;
        if (pool->w->draining || (one->opened_ms && now - one->opened_ms > max_ms))
            close_one(one);
        else if (one->opened_ms && now - one->opened_ms > SETTLED_MS)
            pool->backoff_ms = BACKOFF_MIN_MS;
    }
}

static void look(struct ai_pool *pool)
{
    int64_t now = clock_mono_ms();
    if (pool->w->provider->agent)
        return; /* an agent speaks as soon as its session is open */
    close_old(pool, now);
    while (!pool->w->draining && headroom_left() && pool->count < pool->w->config->ai_pool_size && now >= pool->next_try_ms) {
        int before = pool->count;
        open_one(pool);
        if (pool->count == before)
            break;
    }
    show(pool);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    look(arg);
}

struct ai_pool *ai_pool_new(struct worker *w)
{
    struct timeval tv = {0, LOOK_MS * 1000};
    struct ai_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return NULL;
    pool->w = w;
    pool->backoff_ms = BACKOFF_MIN_MS;
    pool->timer = event_new(w->base, -1, EV_PERSIST, on_timer, pool);
    if (!pool->timer || event_add(pool->timer, &tv) != 0) {
        ai_pool_free(pool);
        return NULL;
    }
    event_active(pool->timer, EV_TIMEOUT, 0);
    return pool;
}

struct ws_conn *ai_pool_take(struct ai_pool *pool, const struct ws_handler *handler, void *arg, struct ai_memory *memory)
{
    struct idle *best = NULL;
    struct ws_conn *ws;
    for (struct idle *one = pool->idle; one; one = one->next) {
        if (one->opened_ms && (!best || one->opened_ms < best->opened_ms))
            best = one; /* the oldest: it would be closed first */
    }
    if (!best)
        return NULL;
    ws = best->ws;
    *memory = best->memory;
    ws_set_handler(ws, handler, arg);
    unlink_idle(best);
    free(best);
    event_active(pool->timer, EV_TIMEOUT, 0); /* the next one is opened in this loop turn */
    show(pool);
    return ws;
}

void ai_pool_refused(struct ai_pool *pool, const char *why)
{
    failed(pool, why, PERMANENT_MS);
}

void ai_pool_free(struct ai_pool *pool)
{
    if (!pool)
        return;
    while (pool->idle)
        close_one(pool->idle);
    if (pool->timer)
        event_free(pool->timer);
    free(pool);
}
