#include "common/redis/sync.h"

#include <stdio.h>
#include <string.h>

#include "common/redis/sentinel.h"
#include "common/redis/tls.h"

static const char *text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? reply->str : NULL;
}

static bool refuse(struct redis_refusal *why, const char *what)
{
    snprintf(why->text, sizeof why->text, "%s", what);
    return false;
}

/* Judges the answer to one step of hello; says why if it ends the connection. */
static bool accept_answer(const redisContext *ctx, const struct redis_sync_spec *spec, const char *const *argv,
                          const redisReply *reply, struct redis_refusal *why)
{
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        snprintf(why->text, sizeof why->text, "Redis refused %s: %s", argv[0], reply ? reply->str : ctx->errstr);
        return reply && redis_hello_bearable(argv, reply->str);
    }
    /* What is at risk is the asynchronous connection's to tell; too old ends this one too. */
    if (strcmp(argv[0], "INFO") == 0)
        return !text_of(reply) || redis_risk(reply->str, why->text, sizeof why->text);
    if (strcmp(argv[0], "ROLE") == 0)
        return redis_is_primary(reply) || refuse(why, "the server that Sentinel names is no primary (yet)");
    if (strcmp(argv[0], "SET") == 0 || strcmp(argv[0], "GET") == 0)
        why->misfit = !redis_partitions_fit(spec->keys, text_of(reply), why->text, sizeof why->text);
    return !why->misfit;
}

/* *cluster NULL: it does not matter. */
static bool say_hello(redisContext *ctx, const struct redis_sync_spec *spec, bool *cluster, struct redis_refusal *why)
{
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    int argc;
    for (int step = 0; (argc = redis_hello(spec->url, spec->keys, spec->name, step, argv, &room)) > 0; step++) {
        redisReply *reply;
        bool ok;
        if (spec->look && !spec->functions && (strcmp(argv[0], "FUNCTION") == 0 || strcmp(argv[0], "FCALL") == 0))
            continue;
        if (spec->look && strcmp(argv[0], "SET") == 0) {
            argv[0] = "GET"; /* of the same key */
            argc = 2;
        }
        reply = redisCommandArgv(ctx, argc, argv, NULL);
        ok = accept_answer(ctx, spec, argv, reply, why);
        if (ok && cluster && strcmp(argv[0], "INFO") == 0)
            *cluster = text_of(reply) && redis_is_cluster(reply->str);
        freeReplyObject(reply);
        if (!ok || (cluster && *cluster))
            return ok;
    }
    return true;
}

static redisContext *give_up(redisContext *ctx)
{
    if (ctx)
        redisFree(ctx);
    return NULL;
}

/* place NULL: the unix socket. */
static redisContext *begin(const struct redis_sync_spec *spec, const struct redis_place *place, bool *cluster,
                           struct redis_refusal *why)
{
    struct timeval tv = {spec->timeout_ms / 1000, (spec->timeout_ms % 1000) * 1000};
    redisContext *ctx = place ? redisConnectWithTimeout(place->host, place->port, tv)
                              : redisConnectUnixWithTimeout(spec->url->unix_path, tv);
    /* The time limit first: the TLS handshake is under it, too. */
    bool connected = ctx && !ctx->err && redisSetTimeout(ctx, tv) == REDIS_OK &&
                     (!spec->url->tls || redis_tls_begin(ctx, place->host));
    why->misfit = false;
    if (!connected) {
        snprintf(why->text, sizeof why->text, "cannot connect to Redis: %s",
                 !ctx ? "out of memory" : *ctx->errstr ? ctx->errstr : "TLS cannot begin");
        return give_up(ctx);
    }
    return say_hello(ctx, spec, cluster, why) ? ctx : give_up(ctx);
}

redisContext *redis_sync_connect(const struct redis_sync_spec *spec, const struct redis_place *place,
                                 struct redis_refusal *why)
{
    return begin(spec, place, NULL, why);
}

static redisContext *find_by_sentinel(const struct redis_sync_spec *spec, struct redis_place *found,
                                      struct redis_refusal *why)
{
    why->misfit = false;
    if (!sentinel_find(spec->url, spec->sentinel, spec->timeout_ms, found, why->text, sizeof why->text))
        return NULL;
    return begin(spec, found, NULL, why);
}

/* Several addresses can only be the nodes of one cluster: journals that are spread over servers by chance would never
 * be found. */
static redisContext *only_cluster(redisContext *ctx, bool cluster, struct redis_refusal *why)
{
    if (!ctx || cluster)
        return ctx;
    refuse(why, "several Redis addresses, but this server is no node of a cluster; redis+sentinel:// finds a primary "
                "among its replicas");
    return give_up(ctx);
}

redisContext *redis_sync_find(const struct redis_sync_spec *spec, struct redis_place *found, bool *cluster,
                              struct redis_refusal *why)
{
    const struct redis_url *url = spec->url;
    redisContext *ctx = NULL;
    *cluster = false;
    *found = (struct redis_place){.port = 0};
    if (url->unix_path)
        return begin(spec, NULL, cluster, why);
    if (url->master)
        return find_by_sentinel(spec, found, why);
    for (int i = 0; i < url->place_count && !ctx; i++) {
        *found = url->places[i];
        ctx = begin(spec, found, cluster, why);
        if (url->place_count > 1)
            ctx = only_cluster(ctx, *cluster, why);
    }
    return ctx;
}
