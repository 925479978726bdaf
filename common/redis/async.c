#include "common/redis/async.h"

#include <stdlib.h>

#include "common/redis/link.h"
#include "common/redis/router.h"

struct redis_async {
    struct redis_async_spec spec;
    struct redis_link *door;      /* the server; or, of a cluster, the node it was found by */
    struct redis_router *router;  /* NULL unless it is a cluster */
};

static void on_door_up(void *arg)
{
    struct redis_async *ra = arg;
    if (!ra->router && redis_link_is_cluster(ra->door))
        ra->router = redis_router_new(&ra->spec, ra->door);
    if (ra->router)
        redis_router_door_up(ra->router);
    else if (redis_link_is_cluster(ra->door))
        redis_link_close(ra->door); /* out of memory: again later */
    else if (ra->spec.on_up)
        ra->spec.on_up(ra->spec.arg);
}

static void on_door_down(void *arg)
{
    struct redis_async *ra = arg;
    if (!ra->router && ra->spec.on_down)
        ra->spec.on_down(ra->spec.arg);
}

static void on_door_misfit(void *arg)
{
    struct redis_async *ra = arg;
    if (ra->spec.on_misfit)
        ra->spec.on_misfit(ra->spec.arg);
}

struct redis_async *redis_async_new(const struct redis_async_spec *spec)
{
    struct redis_async *ra = calloc(1, sizeof *ra);
    if (!ra)
        return NULL;
    ra->spec = *spec;
    ra->door = redis_link_new(&(struct redis_link_spec){.base = spec->base, .resolver = spec->resolver,
                                                        .url = spec->url, .name = spec->name, .on_up = on_door_up,
                                                        .on_down = on_door_down, .keys = spec->keys,
                                                        .on_misfit = on_door_misfit, .arg = ra});
    if (ra->door)
        return ra;
    free(ra);
    return NULL;
}

void redis_async_free(struct redis_async *ra)
{
    if (!ra)
        return;
    redis_link_free(ra->door);
    redis_router_free(ra->router);
    free(ra);
}

bool redis_async_up(const struct redis_async *ra)
{
    return ra->router ? redis_router_up(ra->router) : redis_link_up(ra->door);
}

bool redis_async_whole(const struct redis_async *ra)
{
    return ra->router ? redis_router_whole(ra->router) : redis_link_up(ra->door);
}

int redis_async_send(struct redis_async *ra, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                     const size_t *lens)
{
    return ra->router ? redis_router_send(ra->router, fn, arg, argc, argv, lens)
                      : redis_link_send(ra->door, fn, arg, argc, argv, lens);
}

const char *redis_text(const redisReply *reply, size_t i)
{
    if (!reply || reply->type != REDIS_REPLY_ARRAY || i >= reply->elements)
        return "";
    reply = reply->element[i];
    return reply->type == REDIS_REPLY_STRING || reply->type == REDIS_REPLY_STATUS ? reply->str : "";
}

const char *redis_word(const redisReply *reply)
{
    return redis_text(reply, 0);
}
