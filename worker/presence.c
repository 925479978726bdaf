#include "worker/presence.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/redis/async.h"

/* The entry survives a few missed beats. */
enum { ENTRY_SECONDS = 15 };

struct presence {
    struct shared *shared;
    void (*on_misfit)(void *arg);
    void *arg;
    struct resolver *resolver;
    struct redis_async *redis;
    struct event *timer;
    bool draining;
};

static void tell(struct presence *p)
{
    char key[KEY_SIZE], active[16], capacity[16], seen[24], ttl[16];
    struct places *places = &p->shared->places;
    const char *set[] = {"HSET", key, "active", active, "capacity", capacity, "draining", p->draining ? "1" : "0",
                         "seen_ms", seen};
    const char *expire[] = {"EXPIRE", key, ttl};
    if (!key_global(key, &p->shared->keys, "worker", p->shared->id, NULL))
        return;
    snprintf(active, sizeof active, "%d", places_taken(places));
    snprintf(capacity, sizeof capacity, "%d", places->max);
    snprintf(seen, sizeof seen, "%" PRId64, clock_wall_ms());
    snprintf(ttl, sizeof ttl, "%d", ENTRY_SECONDS);
    /* Redis away: nobody can look either. */
    if (redis_async_send(p->redis, NULL, NULL, (int)ARRAY_LEN(set), set, NULL) == 0)
        (void)!redis_async_send(p->redis, NULL, NULL, (int)ARRAY_LEN(expire), expire, NULL);
}

static void on_beat(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    tell(arg);
}

static void on_up(void *arg)
{
    tell(arg);
}

static void on_misfit(void *arg)
{
    struct presence *p = arg;
    p->on_misfit(p->arg);
}

struct presence *presence_new(struct event_base *base, struct shared *shared, void (*misfit)(void *arg), void *arg)
{
    struct timeval second = {1, 0};
    struct presence *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->shared = shared;
    p->on_misfit = misfit;
    p->arg = arg;
    p->resolver = resolver_new(base);
    p->timer = event_new(base, -1, EV_PERSIST, on_beat, p);
    if (p->resolver)
        p->redis = redis_async_new(&(struct redis_async_spec){.base = base, .resolver = p->resolver,
                                                              .url = &shared->redis_url, .keys = &shared->keys,
                                                              .name = "ringfleet-presence", .on_up = on_up,
                                                              .on_misfit = on_misfit, .arg = p});
    if (!p->redis || !p->timer || event_add(p->timer, &second) != 0) {
        presence_free(p);
        return NULL;
    }
    return p;
}

void presence_drain(struct presence *p)
{
    p->draining = true;
    tell(p);
}

void presence_free(struct presence *p)
{
    if (!p)
        return;
    if (p->timer)
        event_free(p->timer);
    redis_async_free(p->redis);
    resolver_free(p->resolver);
    free(p);
}
