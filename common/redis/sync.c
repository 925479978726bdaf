#include "common/redis/sync.h"

#include <stdio.h>
#include <string.h>

/* Judges the answer to one step of hello; one sentence in error if it ends the connection. */
static bool accept_answer(const redisContext *ctx, const char *const *argv, const redisReply *reply, char *error,
                          size_t size)
{
    if (!reply || (reply->type == REDIS_REPLY_ERROR && !redis_hello_bearable(argv, reply->str))) {
        snprintf(error, size, "Redis refused %s: %s", argv[0], reply ? reply->str : ctx->errstr);
        return false;
    }
    /* What is at risk is the asynchronous connection's to tell; too old ends this one too. */
    return strcmp(argv[0], "INFO") != 0 || reply->type != REDIS_REPLY_STRING || redis_risk(reply->str, error, size);
}

static bool say_hello(redisContext *ctx, const struct redis_url *url, const char *name, bool load, char *error,
                      size_t size)
{
    const char *argv[REDIS_HELLO_ARGS];
    char db_text[12];
    int argc;
    for (int step = 0; (argc = redis_hello(url, name, step, argv, db_text)) > 0; step++) {
        if (!load && strcmp(argv[0], "FUNCTION") == 0)
            continue;
        redisReply *reply = redisCommandArgv(ctx, argc, argv, NULL);
        bool ok = accept_answer(ctx, argv, reply, error, size);
        freeReplyObject(reply);
        if (!ok)
            return false;
    }
    return true;
}

static redisContext *begin(const struct redis_url *url, const char *name, int timeout_ms, bool load, char *error,
                           size_t error_size)
{
    struct timeval tv = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    redisContext *ctx = url->unix_path ? redisConnectUnixWithTimeout(url->unix_path, tv)
                                       : redisConnectWithTimeout(url->host, url->port, tv);
    if (!ctx || ctx->err) {
        snprintf(error, error_size, "cannot connect to Redis: %s", ctx ? ctx->errstr : "out of memory");
        if (ctx)
            redisFree(ctx);
        return NULL;
    }
    redisSetTimeout(ctx, tv);
    if (!say_hello(ctx, url, name, load, error, error_size)) {
        redisFree(ctx);
        return NULL;
    }
    return ctx;
}

redisContext *redis_sync_connect(const struct redis_url *url, const char *name, int timeout_ms, char *error,
                                 size_t error_size)
{
    return begin(url, name, timeout_ms, true, error, error_size);
}

redisContext *redis_sync_look(const struct redis_url *url, const char *name, int timeout_ms, char *error,
                              size_t error_size)
{
    return begin(url, name, timeout_ms, false, error, error_size);
}
