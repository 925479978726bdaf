#include "common/redis/link.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/redis/command.h"
#include "common/redis/sentinel.h"
#include "common/redis/tls.h"
#include "common/redis/watch.h"

enum {
    TICK_MS = 1000,          /* a PING each tick */
    SILENT_MS = 5000,        /* no answer for this long: the connection is dead */
    BACKOFF_MIN_MS = 50,
    BACKOFF_MAX_MS = 5000,
    BACKOFF_SENTINEL_MAX_MS = 1000, /* they are asked once a second anyway, and leases run out while a primary is replaced */
};

enum state { STATE_WAITING, STATE_RESOLVING, STATE_CONNECTING, STATE_HELLO, STATE_UP };

struct redis_link {
    struct redis_link_spec spec;
    enum state state;
    redisAsyncContext *ctx; /* NULL in WAITING and RESOLVING */
    struct resolve_request *resolving;
    struct sentinel_ask *asking; /* RESOLVING: where to; UP: whether it is still there */
    int others_named;
    struct redis_place to; /* where this try goes; "" with a unix socket */
    int turn;              /* tries so far: each takes the next of the addresses */
    struct event *timer;    /* WAITING: the next try; otherwise the tick */
    struct event *turn_end; /* active while there is something to write */
    struct redis_command command;
    int64_t silent_since_ms; /* when the oldest unanswered thing was sent; 0: nothing waits */
    int hello_step;
    int backoff_ms;
    bool risk_told, was_up;
    bool is_cluster; /* as the server of the last hello said */
    bool freeing;
    struct log_limit limit;
};

static void arm(struct redis_link *l, int ms)
{
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    evtimer_add(l->timer, &tv);
}

/* The one place where a connection ends: everything that waits is told, then the next try is set. */
static void lost(struct redis_link *l, const char *why)
{
    enum state before = l->state;
    int most = l->spec.url->master ? BACKOFF_SENTINEL_MAX_MS : BACKOFF_MAX_MS;
    int wait = l->backoff_ms / 2 + (int)random_below((uint32_t)l->backoff_ms / 2 + 1);
    l->state = STATE_WAITING;
    l->ctx = NULL;
    sentinel_cancel(l->asking);
    l->asking = NULL;
    if (l->freeing)
        return;
    if (log_allow(&l->limit))
        log_warn(NULL, "redis connection lost", log_str("why", why), log_str("host", l->to.host),
                 log_int("port", l->to.port), log_int("retry_ms", wait), log_int("suppressed", l->limit.suppressed));
    l->backoff_ms = l->backoff_ms * 2 > most ? most : l->backoff_ms * 2;
    arm(l, wait);
    if (before == STATE_UP && l->spec.on_down)
        l->spec.on_down(l->spec.arg);
}

/* Ends a connection that hiredis still thinks is good. The callbacks run inside. */
static void drop(struct redis_link *l, const char *why)
{
    redisAsyncContext *ctx = l->ctx;
    enum state before = l->state;
    ctx->data = NULL; /* the disconnect callback must not report a second loss */
    l->ctx = NULL;
    l->state = STATE_WAITING; /* a callback that sends again is refused */
    redisAsyncFree(ctx);
    l->state = before;
    lost(l, why);
}

static void on_disconnect(const redisAsyncContext *ctx, int status)
{
    struct redis_link *l = ctx->data;
    if (l)
        lost(l, status == REDIS_OK ? "closed" : ctx->errstr);
}

static void send_hello(struct redis_link *l);

/* Without a place of its own the link finds its server by the URL, whose several addresses can only be the nodes of
 * one cluster: journals that are spread over servers by chance would never be found. */
static bool check_mode(struct redis_link *l, const char *info)
{
    l->is_cluster = redis_is_cluster(info);
    if (l->is_cluster || l->spec.place || l->spec.url->master || l->spec.url->place_count < 2)
        return true;
    if (log_allow(&l->limit))
        log_error(NULL, "several Redis addresses, but this server is no node of a cluster; "
                        "redis+sentinel:// finds a primary among its replicas",
                  log_str("host", l->to.host), log_int("port", l->to.port));
    return false;
}

/* False if this server cannot serve. */
static bool check_server(struct redis_link *l, const char *info)
{
    char risk[256];
    if (!check_mode(l, info))
        return false;
    if (!redis_risk(info, risk, sizeof risk)) {
        if (log_allow(&l->limit))
            log_error(NULL, risk);
        return false;
    }
    if (*risk && !l->risk_told)
        log_warn(NULL, "redis is not safe", log_str("risk", risk));
    l->risk_told = true;
    return true;
}

/* False if the fleet's keys are not where we would look for them. */
static bool check_partitions(struct redis_link *l, const redisReply *reply)
{
    char why[256];
    if (redis_partitions_fit(l->spec.keys, reply->type == REDIS_REPLY_STRING ? reply->str : NULL, why, sizeof why))
        return true;
    if (log_allow(&l->limit))
        log_error(NULL, why);
    if (!l->was_up && l->spec.on_misfit)
        l->spec.on_misfit(l->spec.arg);
    return false;
}

/* False ends the connection. */
static bool check_answer(struct redis_link *l, const char *command, const redisReply *reply)
{
    if (strcmp(command, "INFO") == 0)
        return reply->type != REDIS_REPLY_STRING || check_server(l, reply->str);
    if (strcmp(command, "ROLE") == 0)
        return redis_is_primary(reply);
    return strcmp(command, "SET") != 0 || check_partitions(l, reply);
}

/* Any node of a cluster can tell where the others are; only a primary takes functions. */
static bool only_a_door(const struct redis_link *l, const char *answered)
{
    return l->is_cluster && !l->spec.place && strcmp(answered, "INFO") == 0;
}

static void come_up(struct redis_link *l)
{
    l->state = STATE_UP;
    l->was_up = true;
    l->backoff_ms = BACKOFF_MIN_MS;
    l->silent_since_ms = 0;
    if (l->spec.on_up)
        l->spec.on_up(l->spec.arg);
}

static void on_hello(redisAsyncContext *ctx, void *r, void *arg)
{
    struct redis_link *l = ctx->data;
    const redisReply *reply = r;
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    (void)arg;
    if (!l || !reply)
        return;
    redis_hello(l->spec.url, l->spec.keys, l->spec.name, l->hello_step, argv, &room);
    if (reply->type == REDIS_REPLY_ERROR && !redis_hello_bearable(argv, reply->str)) {
        if (log_allow(&l->limit))
            log_error(NULL, "redis refused our hello", log_str("command", argv[0]), log_str("error", reply->str));
        redisAsyncDisconnect(ctx);
        return;
    }
    if (!check_answer(l, argv[0], reply)) {
        redisAsyncDisconnect(ctx);
        return;
    }
    l->hello_step++;
    if (only_a_door(l, argv[0]))
        come_up(l);
    else
        send_hello(l);
}

static void send_hello(struct redis_link *l)
{
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    int argc = redis_hello(l->spec.url, l->spec.keys, l->spec.name, l->hello_step, argv, &room);
    l->silent_since_ms = clock_mono_ms();
    if (argc > 0)
        redisAsyncCommandArgv(l->ctx, on_hello, NULL, argc, argv, NULL);
    else
        come_up(l);
}

static void on_connect(const redisAsyncContext *ctx, int status)
{
    struct redis_link *l = ctx->data;
    if (!l)
        return;
    if (status != REDIS_OK) {
        /* hiredis frees the context after this callback and reports nothing more. */
        lost(l, ctx->errstr);
        return;
    }
    l->state = STATE_HELLO;
    l->hello_step = 0;
    l->is_cluster = false;
    send_hello(l);
}

static void adopt(struct redis_link *l, redisAsyncContext *ctx)
{
    bool tls_failed = ctx && !ctx->err && l->spec.url->tls && !redis_tls_begin(&ctx->c, l->to.host);
    if (!ctx || ctx->err || tls_failed || redis_watch(ctx, l->spec.base) != 0) {
        const char *why = ctx && *ctx->errstr ? ctx->errstr : tls_failed ? "TLS cannot begin" : "out of memory";
        lost(l, why);
        if (ctx)
            redisAsyncFree(ctx);
        return;
    }
    ctx->data = l;
    l->ctx = ctx;
    l->others_named = 0;
    l->state = STATE_CONNECTING;
    l->silent_since_ms = clock_mono_ms();
    redisAsyncSetConnectCallback(ctx, on_connect);
    redisAsyncSetDisconnectCallback(ctx, on_disconnect);
    arm(l, TICK_MS);
}

static void on_resolved(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct redis_link *l = arg;
    char host[64];
    l->resolving = NULL;
    if (!error && getnameinfo(addr, len, host, sizeof host, NULL, 0, NI_NUMERICHOST) != 0)
        error = "address cannot be written as text";
    if (error)
        lost(l, error);
    else
        adopt(l, redisAsyncConnect(host, l->to.port));
}

static void go_to(struct redis_link *l, const struct redis_place *place)
{
    l->to = *place;
    l->state = STATE_RESOLVING;
    l->resolving = resolve(l->spec.resolver, l->to.host, l->to.port, on_resolved, l);
}

static struct sentinel_ask *ask_sentinel(struct redis_link *l, sentinel_fn *fn)
{
    const struct sentinel_spec spec = {l->spec.base, l->spec.resolver, l->spec.url, l->turn++};
    return sentinel_ask(&spec, fn, l);
}

static void on_primary(const char *error, const struct redis_place *primary, void *arg)
{
    struct redis_link *l = arg;
    l->asking = NULL;
    if (error)
        lost(l, error);
    else
        go_to(l, primary);
}

static void find_primary(struct redis_link *l)
{
    l->state = STATE_RESOLVING;
    l->asking = ask_sentinel(l, on_primary);
    if (!l->asking)
        lost(l, "out of memory");
}

static void begin(struct redis_link *l)
{
    const struct redis_url *url = l->spec.url;
    if (l->spec.place)
        go_to(l, l->spec.place);
    else if (url->unix_path)
        adopt(l, redisAsyncConnectUnix(url->unix_path));
    else if (url->master)
        find_primary(l);
    else
        go_to(l, &url->places[l->turn++ % url->place_count]);
}

/* A planned fail-over leaves clients connected to a replica, which answers PING and refuses every write. A cluster's node
 * says itself where its slots are now. */
static bool must_be_primary(const struct redis_link *l)
{
    return !l->is_cluster;
}

static void on_pong(redisAsyncContext *ctx, void *r, void *arg)
{
    struct redis_link *l = ctx->data;
    (void)arg;
    if (l && r)
        l->silent_since_ms = 0;
    if (l && r && must_be_primary(l) && !redis_is_primary(r))
        redisAsyncDisconnect(ctx); /* there is another now */
}

static void on_named(const char *error, const struct redis_place *primary, void *arg)
{
    struct redis_link *l = arg;
    l->asking = NULL;
    if (error || !sentinel_disagrees(&l->others_named, primary, &l->to))
        return;
    l->turn--; /* who disagreed is asked where to: the next may be the one that led here */
    drop(l, "the Sentinels name another primary");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *l = arg;
    (void)fd;
    (void)what;
    if (l->state == STATE_WAITING) {
        begin(l);
        return;
    }
    if (l->silent_since_ms && clock_mono_ms() - l->silent_since_ms > SILENT_MS) {
        drop(l, "no answer");
        return;
    }
    if (l->state == STATE_UP && l->spec.url->master && !l->asking)
        l->asking = ask_sentinel(l, on_named);
    if (l->state == STATE_UP && !l->silent_since_ms) {
        l->silent_since_ms = clock_mono_ms();
        redisAsyncCommand(l->ctx, on_pong, NULL, must_be_primary(l) ? "ROLE" : "PING");
    }
    arm(l, TICK_MS);
}

/* What the callbacks of a turn have sent leaves at its end, in one piece and without a turn of its own. */
static void on_turn_end(evutil_socket_t fd, short what, void *arg)
{
    struct redis_link *l = arg;
    (void)fd;
    (void)what;
    if (l->state == STATE_UP)
        redisAsyncHandleWrite(l->ctx);
}

struct redis_link *redis_link_new(const struct redis_link_spec *spec)
{
    struct redis_link *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    l->spec = *spec;
    l->backoff_ms = BACKOFF_MIN_MS;
    l->timer = evtimer_new(spec->base, on_timer, l);
    l->turn_end = event_new(spec->base, -1, 0, on_turn_end, l);
    if (!l->timer || !l->turn_end) {
        redis_link_free(l);
        return NULL;
    }
    arm(l, 0);
    return l;
}

void redis_link_free(struct redis_link *l)
{
    if (!l)
        return;
    l->freeing = true;
    resolve_cancel(l->resolving);
    sentinel_cancel(l->asking);
    l->asking = NULL;
    if (l->ctx)
        drop(l, "stopping");
    if (l->timer)
        event_free(l->timer);
    if (l->turn_end)
        event_free(l->turn_end);
    redis_command_release(&l->command);
    free(l);
}

bool redis_link_up(const struct redis_link *l)
{
    return l->state == STATE_UP;
}

int redis_link_send(struct redis_link *l, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                     const size_t *lens)
{
    if (l->state != STATE_UP || redis_command_write(&l->command, argc, argv, lens) != 0)
        return -1;
    return redis_link_send_text(l, fn, arg, l->command.text, l->command.len);
}

int redis_link_send_text(struct redis_link *l, redisCallbackFn *fn, void *arg, const char *text, size_t len)
{
    if (l->state != STATE_UP || redisAsyncFormattedCommand(l->ctx, fn, arg, text, len) != REDIS_OK)
        return -1;
    event_active(l->turn_end, EV_WRITE, 0);
    return 0;
}

void redis_link_close(struct redis_link *l)
{
    if (l->ctx)
        redisAsyncDisconnect(l->ctx);
}

bool redis_link_is_cluster(const struct redis_link *l)
{
    return l->is_cluster;
}

const struct redis_place *redis_link_place(const struct redis_link *l)
{
    return &l->to;
}
