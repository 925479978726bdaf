#include "common/redis/sentinel.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <hiredis/async.h>

#include "common/redis/tls.h"
#include "common/redis/watch.h"

enum { ANSWER_SECONDS = 2, ARGS_MAX = 3, OTHERS_NAMED = 2 };

struct sentinel_ask {
    struct sentinel_spec spec;
    const struct redis_place *place;
    sentinel_fn *fn;
    void *arg;
    struct resolve_request *resolving;
    redisAsyncContext *ctx;
    struct event *timer; /* the answer is due; or, once there is an error, it is to be told */
    char error[400];
};

/* -- what is said ------------------------------------------------------------------------------ */

static int put_auth(const struct redis_url *url, const char *argv[ARGS_MAX])
{
    int argc = 0;
    argv[argc++] = "AUTH";
    if (url->user)
        argv[argc++] = url->user;
    argv[argc++] = url->password;
    return argc;
}

static int put_question(const struct redis_url *url, const char *argv[ARGS_MAX])
{
    argv[0] = "SENTINEL";
    argv[1] = "get-master-addr-by-name";
    argv[2] = url->master;
    return 3;
}

static const char *text_at(const redisReply *reply, size_t i)
{
    bool there = reply->type == REDIS_REPLY_ARRAY && i < reply->elements &&
                 reply->element[i]->type == REDIS_REPLY_STRING;
    return there ? reply->element[i]->str : "";
}

/* [host, port], or nil: it watches no such master. */
static bool read_primary(const redisReply *reply, const struct redis_url *url, struct redis_place *primary, char *error,
                         size_t size)
{
    const char *host = text_at(reply, 0);
    if (reply->type == REDIS_REPLY_ERROR)
        snprintf(error, size, "Sentinel: %s", reply->str);
    else if (*host && redis_place_set(primary, host, strlen(host), atol(text_at(reply, 1))))
        return true;
    else
        snprintf(error, size, "Sentinel knows no master called %s", url->master);
    return false;
}

bool redis_is_primary(const redisReply *role)
{
    return role->type != REDIS_REPLY_ARRAY || strcmp(text_at(role, 0), "master") == 0;
}

bool sentinel_disagrees(int *others_named, const struct redis_place *named, const struct redis_place *ours)
{
    *others_named = redis_place_same(named, ours) ? 0 : *others_named + 1;
    return *others_named >= OTHERS_NAMED;
}

/* -- without blocking ---------------------------------------------------------------------------- */

static void ask_free(struct sentinel_ask *a)
{
    resolve_cancel(a->resolving);
    if (a->ctx) {
        a->ctx->data = NULL;
        redisAsyncFree(a->ctx); /* inside one of its callbacks this waits for the callback's end */
    }
    event_free(a->timer);
    free(a);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct sentinel_ask *a = arg;
    (void)fd;
    (void)what;
    a->fn(*a->error ? a->error : "Sentinel does not answer", NULL, a->arg);
    ask_free(a);
}

static void fail_soon(struct sentinel_ask *a)
{
    struct timeval now = {0, 0};
    evtimer_add(a->timer, &now);
}

static void fail(struct sentinel_ask *a, const char *why)
{
    snprintf(a->error, sizeof a->error, "Sentinel %s:%d: %s", a->place->host, a->place->port, why);
    fail_soon(a);
}

static void on_answer(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct sentinel_ask *a = ctx->data;
    struct redis_place primary;
    (void)arg;
    if (!a)
        return;
    if (!reply) {
        a->ctx = NULL; /* it is being freed */
        fail(a, *ctx->errstr ? ctx->errstr : "closed");
    } else if (!read_primary(reply, a->spec.url, &primary, a->error, sizeof a->error)) {
        fail_soon(a);
    } else {
        a->fn(NULL, &primary, a->arg);
        ask_free(a);
    }
}

static void send_question(struct sentinel_ask *a)
{
    const char *argv[ARGS_MAX];
    int argc;
    if (a->spec.url->password) {
        argc = put_auth(a->spec.url, argv);
        redisAsyncCommandArgv(a->ctx, NULL, NULL, argc, argv, NULL);
    }
    argc = put_question(a->spec.url, argv);
    redisAsyncCommandArgv(a->ctx, on_answer, NULL, argc, argv, NULL);
}

static void on_resolved(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct sentinel_ask *a = arg;
    char host[64];
    a->resolving = NULL;
    if (!error && getnameinfo(addr, len, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        error = "address cannot be written as text";
    if (error) {
        fail(a, error);
        return;
    }
    a->ctx = redisAsyncConnect(host, a->place->port);
    if (!a->ctx || a->ctx->err || (a->spec.url->tls && !redis_tls_begin(&a->ctx->c, a->place->host)) ||
        redis_watch(a->ctx, a->spec.base) != 0) {
        fail(a, a->ctx && *a->ctx->errstr ? a->ctx->errstr : "no connection");
        return;
    }
    a->ctx->data = a;
    send_question(a);
}

struct sentinel_ask *sentinel_ask(const struct sentinel_spec *spec, sentinel_fn *fn, void *arg)
{
    struct timeval limit = {ANSWER_SECONDS, 0};
    struct sentinel_ask *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    a->spec = *spec;
    a->place = &spec->url->places[spec->which % spec->url->place_count];
    a->fn = fn;
    a->arg = arg;
    a->timer = evtimer_new(spec->base, on_timer, a);
    if (!a->timer) {
        free(a);
        return NULL;
    }
    evtimer_add(a->timer, &limit);
    a->resolving = resolve(spec->resolver, a->place->host, a->place->port, on_resolved, a);
    return a;
}

void sentinel_cancel(struct sentinel_ask *ask)
{
    if (ask)
        ask_free(ask);
}

/* -- blocking ------------------------------------------------------------------------------------ */

static redisReply *question(redisContext *ctx, const struct redis_url *url)
{
    const char *argv[ARGS_MAX];
    int argc;
    if (url->password) {
        argc = put_auth(url, argv);
        freeReplyObject(redisCommandArgv(ctx, argc, argv, NULL));
    }
    argc = put_question(url, argv);
    return redisCommandArgv(ctx, argc, argv, NULL);
}

static bool find_with(const struct redis_place *place, const struct redis_url *url, int timeout_ms,
                      struct redis_place *primary, char *error, size_t size)
{
    struct timeval tv = {timeout_ms / 1000, (timeout_ms % 1000) * 1000};
    redisContext *ctx = redisConnectWithTimeout(place->host, place->port, tv);
    redisReply *reply = NULL;
    bool found = false;
    /* The time limit first: the TLS handshake is under it, too. */
    if (ctx && !ctx->err && redisSetTimeout(ctx, tv) == REDIS_OK && (!url->tls || redis_tls_begin(ctx, place->host)))
        reply = question(ctx, url);
    if (reply)
        found = read_primary(reply, url, primary, error, size);
    else
        snprintf(error, size, "Sentinel %s:%d: %s", place->host, place->port,
                 ctx && *ctx->errstr ? ctx->errstr : "no connection");
    freeReplyObject(reply);
    if (ctx)
        redisFree(ctx);
    return found;
}

bool sentinel_find(const struct redis_url *url, int first, int timeout_ms, struct redis_place *primary, char *error,
                   size_t error_size)
{
    for (int i = 0; i < url->place_count; i++) {
        const struct redis_place *place = &url->places[(first + i) % url->place_count];
        if (find_with(place, url, timeout_ms, primary, error, error_size))
            return true;
    }
    return false;
}

bool sentinel_find_one(const struct redis_url *url, int which, int timeout_ms, struct redis_place *primary)
{
    char error[400];
    return find_with(&url->places[which % url->place_count], url, timeout_ms, primary, error, sizeof error);
}
