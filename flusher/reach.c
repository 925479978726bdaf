#include "flusher/reach.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/topology.h"
#include "flusher/health.h"
#include "flusher/retry.h"

enum {
    TIMEOUT_MS = 5000, /* above the time a read waits, which is until the next sweep */
    PRIMACY_MS = 1000, /* between two questions whether the server is still the primary */
};

struct reach {
    struct reach_spec spec;
    struct redis_shards *shards;
    struct retry find;
    struct retry *each; /* by the numbers of the shards */
    bool stale;         /* the shards are to be found (again) */
    int64_t primacy_ms; /* when the next one is due */
    bool doubted;       /* by the last answer */
    bool renewed, misfit, told_one;
    _Atomic int64_t away_since_ms; /* clock_mono_ms; 0: all is there */
};

struct reach *reach_new(const struct reach_spec *spec)
{
    struct reach *r = calloc(1, sizeof *r);
    const struct redis_sync_spec sync = {.url = spec->url, .keys = spec->keys, .name = "flusher",
                                         .timeout_ms = TIMEOUT_MS};
    if (!r)
        return NULL;
    r->spec = *spec;
    r->stale = true;
    r->away_since_ms = clock_mono_ms();
    r->shards = redis_shards_new(&sync);
    r->each = calloc((size_t)spec->keys->partitions, sizeof *r->each);
    if (r->shards && r->each)
        return r;
    reach_free(r);
    return NULL;
}

void reach_free(struct reach *reach)
{
    if (!reach)
        return;
    redis_shards_free(reach->shards);
    free(reach->each);
    free(reach);
}

int reach_count(const struct reach *reach)
{
    return redis_shards_count(reach->shards);
}

/* Whether all of it is there is told to whoever watches. */
static void tell(struct reach *r)
{
    bool whole = redis_shards_complete(r->shards);
    for (int i = 0; i < reach_count(r); i++)
        whole = whole && redis_shards_at(r->shards, i)->redis;
    metric_set(&r->spec.metrics->redis_up, whole);
    if (whole)
        r->away_since_ms = 0;
    else if (r->away_since_ms == 0)
        r->away_since_ms = clock_mono_ms();
}

static void complain(struct reach *r, const struct redis_refusal *why)
{
    r->misfit = r->misfit || why->misfit;
    log_error(NULL, why->misfit ? "this is not the fleet's Redis" : "Redis is away", log_str("error", why->text));
}

/* Alone, finding the server is connecting to it. */
static struct retry *retry_of(struct reach *r, const struct redis_shard *shard)
{
    return shard->alone ? &r->find : &r->each[shard->number];
}

void reach_lost(struct reach *r, struct redis_shard *shard)
{
    redis_shard_lose(shard);
    retry_later(retry_of(r, shard));
    r->stale = true;
    tell(r);
}

void reach_worked(struct reach *r, struct redis_shard *shard)
{
    retry_of(r, shard)->failures = 0;
}

/* A connection was made. */
static struct redis_shard *greet(struct reach *r, struct redis_shard *shard)
{
    struct health health;
    bool usable = health_look(shard->redis, &health);
    if (*health.sentence && r->spec.tells)
        log_warn(NULL, usable ? "Redis is at risk" : "Redis cannot be used", log_str("why", health.sentence));
    r->renewed = true;
    if (!usable) {
        reach_lost(r, shard);
        return NULL;
    }
    tell(r);
    log_info(NULL, "Redis connected", log_str("consumer", r->spec.consumer), log_int("partitions", shard->count));
    return shard;
}

static void tell_one_partition(struct reach *r)
{
    if (r->told_one || !r->spec.tells || r->stale || r->spec.keys->partitions > 1)
        return;
    r->told_one = true;
    if (!redis_shards_at(r->shards, 0)->alone)
        log_warn(NULL, TOPOLOGY_ONE_PARTITION);
}

/* A primary that slept until another took its place finds every lease expired when it wakes up, and may be told to reap
 * calls that go on with the other. So nothing is done there while there is a doubt. */
static void look_whether_primary(struct reach *r)
{
    int64_t now = clock_mono_ms();
    enum redis_primacy primacy;
    if (r->stale || now < r->primacy_ms)
        return;
    primacy = redis_shards_primacy(r->shards);
    r->primacy_ms = now + PRIMACY_MS;
    r->doubted = primacy == REDIS_DOUBTED;
    if (primacy != REDIS_REPLACED)
        return;
    log_warn(NULL, "Redis connection ended", log_str("why", "the Sentinels name another primary"));
    reach_lost(r, redis_shards_at(r->shards, 0));
}

void reach_find(struct reach *r)
{
    struct redis_refusal why;
    look_whether_primary(r);
    if (!r->stale || !retry_due(&r->find))
        return;
    if (!redis_shards_find(r->shards, &why)) {
        complain(r, &why);
        retry_later(&r->find);
        return;
    }
    r->renewed = true;
    r->stale = !redis_shards_complete(r->shards);
    if (r->stale)
        retry_later(&r->find);
    else if (redis_shards_at(r->shards, 0)->alone)
        greet(r, redis_shards_at(r->shards, 0));
    else
        r->find.failures = 0;
    tell(r);
    tell_one_partition(r);
}

struct redis_shard *reach_shard(struct reach *r, int i)
{
    struct redis_shard *shard = redis_shards_at(r->shards, i);
    struct redis_refusal why;
    if (r->doubted)
        return NULL;
    if (shard->redis)
        return shard;
    if (shard->alone || !retry_due(&r->each[i]))
        return NULL;
    if (redis_shard_connect(r->shards, shard, &why))
        return greet(r, shard);
    complain(r, &why);
    reach_lost(r, shard);
    return NULL;
}

struct redis_shard *reach_connected(struct reach *reach, int i)
{
    struct redis_shard *shard = redis_shards_at(reach->shards, i);
    return shard->redis ? shard : NULL;
}

bool reach_renewed(struct reach *reach)
{
    bool renewed = reach->renewed;
    reach->renewed = false;
    return renewed;
}

bool reach_misfit(const struct reach *reach)
{
    return reach->misfit;
}

int64_t reach_next_ms(const struct reach *reach)
{
    int64_t next = reach->stale ? reach->find.next_ms : INT64_MAX;
    for (int i = 0; i < reach_count(reach); i++) {
        const struct redis_shard *shard = redis_shards_at(reach->shards, i);
        if (!shard->redis && !shard->alone && reach->each[i].next_ms < next)
            next = reach->each[i].next_ms;
    }
    return next;
}

int64_t reach_away_ms(const struct reach *reach)
{
    int64_t since = reach->away_since_ms;
    return since ? clock_mono_ms() - since : 0;
}
