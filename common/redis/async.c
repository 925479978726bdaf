#include "common/redis/async.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"

enum {
    TICK_MS = 1000,          /* a PING each tick */
    SILENT_MS = 5000,        /* no answer for this long: the connection is dead */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
};

enum state { STATE_WAITING, STATE_RESOLVING, STATE_CONNECTING, STATE_HELLO, STATE_UP };

struct redis_async {
    struct redis_async_spec spec;
    enum state state;
    redisAsyncContext *ctx; /* NULL in WAITING and RESOLVING */
    struct resolve_request *resolving;
    struct event *timer;    /* WAITING: the next try; otherwise the tick */
    int64_t silent_since_ms; /* when the oldest unanswered thing was sent; 0: nothing waits */
    int hello_step;
    int backoff_ms;
    bool risk_told, was_up;
    bool freeing;
    struct log_limit limit;
};

static void arm(struct redis_async *ra, int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(ra->timer, &tv);
}

/* The one place where a connection ends: everything that waits is told, then the next try is set. */
static void lost(struct redis_async *ra, const char *why)
{
    enum state before = ra->state;
    int wait = ra->backoff_ms / 2 + (int)random_below((uint32_t)ra->backoff_ms / 2 + 1);
    ra->state = STATE_WAITING;
    ra->ctx = NULL;
    if (ra->freeing)
        return;
    if (log_allow(&ra->limit))
        log_warn(NULL, "redis connection lost", log_str("why", why), log_int("retry_ms", wait),
                 log_int("suppressed", ra->limit.suppressed));
    ra->backoff_ms = ra->backoff_ms * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : ra->backoff_ms * 2;
    arm(ra, wait);
    if (before == STATE_UP && ra->spec.on_down)
        ra->spec.on_down(ra->spec.arg);
}

/* Ends a connection that hiredis still thinks is good. The callbacks run inside. */
static void drop(struct redis_async *ra, const char *why)
{
    redisAsyncContext *ctx = ra->ctx;
    enum state before = ra->state;
    ctx->data = NULL; /* the disconnect callback must not report a second loss */
    ra->ctx = NULL;
    ra->state = STATE_WAITING; /* a callback that sends again is refused */
    redisAsyncFree(ctx);
    ra->state = before;
    lost(ra, why);
}

static void on_disconnect(const redisAsyncContext *ctx, int status)
{
    struct redis_async *ra = ctx->data;
    if (ra)
        lost(ra, status == REDIS_OK ? "closed" : ctx->errstr);
}

static void send_hello(struct redis_async *ra);

/* False if this server cannot serve. */
static bool check_server(struct redis_async *ra, const char *info)
{
    char risk[256];
    if (!redis_risk(info, risk, sizeof risk)) {
        if (log_allow(&ra->limit))
            log_error(NULL, risk);
        return false;
    }
    if (*risk && !ra->risk_told)
        log_warn(NULL, "redis is not safe", log_str("risk", risk));
    ra->risk_told = true;
    return true;
}

/* False if the fleet's keys are not where we would look for them. */
static bool check_partitions(struct redis_async *ra, const redisReply *reply)
{
    char why[256];
    if (redis_partitions_fit(ra->spec.keys, reply->type == REDIS_REPLY_STRING ? reply->str : NULL, why, sizeof why))
        return true;
    if (log_allow(&ra->limit))
        log_error(NULL, why);
    if (!ra->was_up && ra->spec.on_misfit)
        ra->spec.on_misfit(ra->spec.arg);
    return false;
}

static bool check_answer(struct redis_async *ra, const char *command, const redisReply *reply)
{
    if (strcmp(command, "INFO") == 0)
        return reply->type != REDIS_REPLY_STRING || check_server(ra, reply->str);
    return strcmp(command, "SET") != 0 || check_partitions(ra, reply);
}

static void come_up(struct redis_async *ra)
{
    ra->state = STATE_UP;
    ra->was_up = true;
    ra->backoff_ms = BACKOFF_MIN_MS;
    ra->silent_since_ms = 0;
    if (ra->spec.on_up)
        ra->spec.on_up(ra->spec.arg);
}

static void on_hello(redisAsyncContext *ctx, void *r, void *arg)
{
    struct redis_async *ra = ctx->data;
    const redisReply *reply = r;
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    (void)arg;
    if (!ra || !reply)
        return;
    redis_hello(ra->spec.url, ra->spec.keys, ra->spec.name, ra->hello_step, argv, &room);
    if (reply->type == REDIS_REPLY_ERROR && !redis_hello_bearable(argv, reply->str)) {
        if (log_allow(&ra->limit))
            log_error(NULL, "redis refused our hello", log_str("command", argv[0]), log_str("error", reply->str));
        redisAsyncDisconnect(ctx);
        return;
    }
    if (!check_answer(ra, argv[0], reply)) {
        redisAsyncDisconnect(ctx);
        return;
    }
    ra->hello_step++;
    send_hello(ra);
}

static void send_hello(struct redis_async *ra)
{
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    int argc = redis_hello(ra->spec.url, ra->spec.keys, ra->spec.name, ra->hello_step, argv, &room);
    ra->silent_since_ms = clock_mono_ms();
    if (argc > 0)
        redisAsyncCommandArgv(ra->ctx, on_hello, NULL, argc, argv, NULL);
    else
        come_up(ra);
}

static void on_connect(const redisAsyncContext *ctx, int status)
{
    struct redis_async *ra = ctx->data;
    if (!ra)
        return;
    if (status != REDIS_OK) {
        /* hiredis frees the context after this callback and reports nothing more. */
        lost(ra, ctx->errstr);
        return;
    }
    ra->state = STATE_HELLO;
    ra->hello_step = 0;
    send_hello(ra);
}

static void adopt(struct redis_async *ra, redisAsyncContext *ctx)
{
    if (!ctx || ctx->err) {
        const char *why = ctx ? ctx->errstr : "out of memory";
        lost(ra, why);
        if (ctx)
            redisAsyncFree(ctx);
        return;
    }
    ctx->data = ra;
    ra->ctx = ctx;
    ra->state = STATE_CONNECTING;
    ra->silent_since_ms = clock_mono_ms();
    redisLibeventAttach(ctx, ra->spec.base);
    redisAsyncSetConnectCallback(ctx, on_connect);
    redisAsyncSetDisconnectCallback(ctx, on_disconnect);
    arm(ra, TICK_MS);
}

static void on_resolved(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct redis_async *ra = arg;
    char host[64];
    ra->resolving = NULL;
    if (!error && getnameinfo(addr, len, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        error = "address cannot be written as text";
    if (error)
        lost(ra, error);
    else
        adopt(ra, redisAsyncConnect(host, ra->spec.url->port));
}

static void begin(struct redis_async *ra)
{
    if (ra->spec.url->unix_path) {
        adopt(ra, redisAsyncConnectUnix(ra->spec.url->unix_path));
        return;
    }
    ra->state = STATE_RESOLVING;
    ra->resolving = resolve(ra->spec.resolver, ra->spec.url->host, ra->spec.url->port, on_resolved, ra);
}

static void on_pong(redisAsyncContext *ctx, void *r, void *arg)
{
    struct redis_async *ra = ctx->data;
    (void)arg;
    if (ra && r)
        ra->silent_since_ms = 0;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_async *ra = arg;
    (void)fd;
    (void)what;
    if (ra->state == STATE_WAITING) {
        begin(ra);
        return;
    }
    if (ra->silent_since_ms && clock_mono_ms() - ra->silent_since_ms > SILENT_MS) {
        drop(ra, "no answer");
        return;
    }
    if (ra->state == STATE_UP && !ra->silent_since_ms) {
        ra->silent_since_ms = clock_mono_ms();
        redisAsyncCommand(ra->ctx, on_pong, NULL, "PING");
    }
    arm(ra, TICK_MS);
}

struct redis_async *redis_async_new(const struct redis_async_spec *spec)
{
    struct redis_async *ra = calloc(1, sizeof *ra);
    if (!ra)
        return NULL;
    ra->spec = *spec;
    ra->backoff_ms = BACKOFF_MIN_MS;
    ra->timer = evtimer_new(spec->base, on_timer, ra);
    if (!ra->timer) {
        free(ra);
        return NULL;
    }
    arm(ra, 0);
    return ra;
}

void redis_async_free(struct redis_async *ra)
{
    if (!ra)
        return;
    ra->freeing = true;
    resolve_cancel(ra->resolving);
    if (ra->ctx)
        drop(ra, "stopping");
    event_free(ra->timer);
    free(ra);
}

bool redis_async_up(const struct redis_async *ra)
{
    return ra->state == STATE_UP;
}

int redis_async_send(struct redis_async *ra, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                     const size_t *lens)
{
    if (ra->state != STATE_UP)
        return -1;
    return redisAsyncCommandArgv(ra->ctx, fn, arg, argc, argv, lens) == REDIS_OK ? 0 : -1;
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
