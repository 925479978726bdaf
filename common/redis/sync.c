#include "common/redis/sync.h"

#include <stdio.h>
#include <string.h>

/* How the connection is made: for the fleet, or only to look. */
struct hello {
    const struct redis_url *url;
    const struct key_space *keys;
    const char *name;
    bool look;
};

static const char *text_of(const redisReply *reply)
{
    return reply->type == REDIS_REPLY_STRING ? reply->str : NULL;
}

/* Judges the answer to one step of hello; says why if it ends the connection. */
static bool accept_answer(const redisContext *ctx, const struct hello *h, const char *const *argv,
                          const redisReply *reply, struct redis_refusal *why)
{
    if (!reply || reply->type == REDIS_REPLY_ERROR) {
        snprintf(why->text, sizeof why->text, "Redis refused %s: %s", argv[0], reply ? reply->str : ctx->errstr);
        return reply && redis_hello_bearable(argv, reply->str);
    }
    /* What is at risk is the asynchronous connection's to tell; too old ends this one too. */
    if (strcmp(argv[0], "INFO") == 0)
        return !text_of(reply) || redis_risk(reply->str, why->text, sizeof why->text);
    if (strcmp(argv[0], "SET") == 0 || strcmp(argv[0], "GET") == 0)
        why->misfit = !redis_partitions_fit(h->keys, text_of(reply), why->text, sizeof why->text);
    return !why->misfit;
}

static bool say_hello(redisContext *ctx, const struct hello *h, struct redis_refusal *why)
{
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    int argc;
    for (int step = 0; (argc = redis_hello(h->url, h->keys, h->name, step, argv, &room)) > 0; step++) {
        redisReply *reply;
        bool ok;
        if (h->look && strcmp(argv[0], "FUNCTION") == 0)
            continue;
        if (h->look && strcmp(argv[0], "SET") == 0) {
            argv[0] = "GET"; /* of the same key */
            argc = 2;
        }
        reply = redisCommandArgv(ctx, argc, argv, NULL);
        ok = accept_answer(ctx, h, argv, reply, why);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    return true;
}

static redisContext *begin(const struct hello *h, int timeout_ms, struct redis_refusal *why)
{
    struct timeval tv = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    redisContext *ctx = h->url->unix_path ? redisConnectUnixWithTimeout(h->url->unix_path, tv)
                                          : redisConnectWithTimeout(h->url->host, h->url->port, tv);
    why->misfit = false;
    if (!ctx || ctx->err) {
        snprintf(why->text, sizeof why->text, "cannot connect to Redis: %s", ctx ? ctx->errstr : "out of memory");
        if (ctx)
            redisFree(ctx);
        return NULL;
    }
    redisSetTimeout(ctx, tv);
    if (!say_hello(ctx, h, why)) {
        redisFree(ctx);
        return NULL;
    }
    return ctx;
}

redisContext *redis_sync_connect(const struct redis_url *url, const struct key_space *keys, const char *name,
                                 int timeout_ms, struct redis_refusal *why)
{
    const struct hello h = {url, keys, name, false};
    return begin(&h, timeout_ms, why);
}

redisContext *redis_sync_look(const struct redis_url *url, const struct key_space *keys, const char *name,
                              int timeout_ms, struct redis_refusal *why)
{
    const struct hello h = {url, keys, name, true};
    return begin(&h, timeout_ms, why);
}
