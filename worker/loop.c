#include "worker/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/http/client.h"
#include "worker/ai/agent_url.h"
#include "worker/ai/ai_pool.h"
#include "worker/call/call.h"
#include "worker/drain.h"
#include "worker/heartbeat.h"
#include "worker/pace.h"
#include "worker/round.h"
#include "worker/server.h"
#include "worker/worker.h"

/* A pipe is queue, bound and wake-up in one: writes of this size are atomic, and a full one says so. */
enum loop_word { LOOP_CONNECTION, LOOP_DRAIN, LOOP_STOP };
struct loop_message {
    enum loop_word word;
    int fd; /* CONNECTION: now the loop's */
};

enum {
    MESSAGES_PER_WAKE = 64,
    SILENT_MS = 5000, /* a loop that beats once a second and has not for so long is stuck */
};

struct loop {
    struct worker w;
    struct server *server;
    struct heartbeat *heartbeat;
    struct drain *drain; /* once it has begun */
    struct pace pace;
    struct event *inbox;
    int inbox_fd, outbox_fd; /* the loop reads one, the main thread writes the other */
    pthread_t thread;
    bool running;
};

static void tell_reach(struct worker *w)
{
    metric_set(&w->metrics.redis_up, redis_async_whole(w->redis));
    metric_set(&w->metrics.redis_reached, redis_async_up(w->redis));
}

static void on_redis_up(void *arg)
{
    struct loop *loop = arg;
    struct worker *w = &loop->w;
    struct call *next;
    tell_reach(w);
    for (struct call *c = w->calls; c; c = next) {
        next = c->next;
        call_redis_up(c);
    }
    heartbeat_soon(loop->heartbeat);
}

static void on_redis_down(void *arg)
{
    struct loop *loop = arg;
    tell_reach(&loop->w);
}

static void on_deferred(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    worker_run_deferred(arg);
}

static void obey(struct loop *loop, const struct loop_message *m)
{
    switch (m->word) {
    case LOOP_CONNECTION:
        server_take(loop->server, m->fd);
        break;
    case LOOP_DRAIN:
        loop->w.draining = true;
        if (!loop->drain)
            loop->drain = drain_begin(&loop->w);
        break;
    case LOOP_STOP:
        event_base_loopbreak(loop->w.base);
        break;
    }
}

static void on_inbox(evutil_socket_t fd, short what, void *arg)
{
    struct loop *loop = arg;
    struct loop_message m;
    (void)what;
    for (int i = 0; i < MESSAGES_PER_WAKE; i++) {
        if (read(fd, &m, sizeof m) != (ssize_t)sizeof m)
            return; /* empty: there are no halves */
        obey(loop, &m);
    }
}

static bool open_inbox(struct loop *loop)
{
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    loop->inbox_fd = ends[0];
    loop->outbox_fd = ends[1];
    loop->inbox = event_new(loop->w.base, loop->inbox_fd, EV_READ | EV_PERSIST, on_inbox, loop);
    return loop->inbox && event_add(loop->inbox, NULL) == 0;
}

static bool know_agents(struct worker *w)
{
    metric_set(&w->metrics.ai_address_known, !w->provider->agent);
    if (w->provider->agent)
        w->agent_urls = agent_urls_new(w);
    return !w->provider->agent || w->agent_urls;
}

static bool build(struct loop *loop, struct shared *shared)
{
    struct worker *w = &loop->w;
    w->config = shared->config;
    w->id = shared->id;
    w->keys = shared->keys;
    w->provider = shared->provider;
    w->ai = shared->ai;
    w->tls = shared->tls;
    w->tool_trusted = shared->tool_trusted;
    w->places = &shared->places;
    w->spool = shared->spool;
    w->base = round_base_new();
    w->deferred_event = w->base ? event_new(w->base, -1, 0, on_deferred, w) : NULL;
    w->resolver = w->deferred_event ? resolver_new(w->base) : NULL;
    if (!w->resolver || !open_inbox(loop))
        return false;
    w->http = http_client_new(w->base);
    if (!w->http)
        return false;
    w->redis = redis_async_new(&(struct redis_async_spec){.base = w->base, .resolver = w->resolver,
                                                          .url = &shared->redis_url, .keys = &shared->keys,
                                                          .name = "ringfleet-worker",
                                                          .on_up = on_redis_up, .on_down = on_redis_down,
                                                          .redirects = &w->metrics.redis_redirects,
                                                          .arg = loop});
    w->ai_pool = w->redis ? ai_pool_new(w) : NULL;
    loop->server = w->ai_pool && know_agents(w) ? server_new(w) : NULL;
    loop->heartbeat = loop->server ? heartbeat_new(w) : NULL;
    return loop->heartbeat != NULL;
}

struct loop *loop_new(struct shared *shared)
{
    struct loop *loop = calloc(1, sizeof *loop);
    if (!loop)
        return NULL;
    loop->inbox_fd = loop->outbox_fd = -1;
    if (build(loop, shared))
        return loop;
    log_error(NULL, "an event loop cannot be built", log_str("error", strerror(errno)));
    loop_free(loop);
    return NULL;
}

static void show_pace(struct worker *w, enum pace_level level)
{
    w->pressed = level == PACE_PRESSED;
    metric_set(&w->metrics.loops_brisk, level != PACE_CALM);
    metric_set(&w->metrics.loops_pressed, level == PACE_PRESSED);
}

static void sleep_us(int64_t us)
{
    struct timespec t = {0, us * 1000};
    (void)nanosleep(&t, NULL); /* a signal only makes it shorter */
}

/* false: the loop was told to stop. */
static bool turn(struct loop *loop)
{
    struct worker *w = &loop->w;
    bool waits = pace_waits(&loop->pace);
    int64_t began = clock_mono_us(), now, rest;
    if (!round_once(w->base, waits))
        return false;
    now = clock_mono_us();
    if (waits)
        began = w->reads > 0 ? w->woke_us : now;
    rest = pace_turn_over(&loop->pace, w->reads, w->tickets > 0, began, now);
    w->reads = 0;
    show_pace(w, loop->pace.level);
    if (rest > 0)
        sleep_us(rest);
    return true;
}

static void *run(void *arg)
{
    while (turn(arg))
        ;
    return NULL;
}

int loop_start(struct loop *loop)
{
    int error = pthread_create(&loop->thread, NULL, run, loop);
    loop->running = error == 0;
    if (error)
        log_error(NULL, "no thread for an event loop", log_int("error", error));
    return error ? -1 : 0;
}

/* false: the pipe is full. */
static bool tell(struct loop *loop, enum loop_word word, int fd)
{
    struct loop_message m;
    memset(&m, 0, sizeof m);
    m.word = word;
    m.fd = fd;
    return write(loop->outbox_fd, &m, sizeof m) == (ssize_t)sizeof m;
}

int loop_give(struct loop *loop, int fd)
{
    atomic_fetch_add_explicit(&loop->w.load, 1, memory_order_relaxed);
    if (tell(loop, LOOP_CONNECTION, fd))
        return 0;
    atomic_fetch_sub_explicit(&loop->w.load, 1, memory_order_relaxed);
    close(fd);
    return -1;
}

int loop_load(const struct loop *loop)
{
    return atomic_load_explicit(&loop->w.load, memory_order_relaxed);
}

/* What must arrive: the main thread carries no media and may wait until the loop has caught up. */
static void insist(struct loop *loop, enum loop_word word)
{
    while (!tell(loop, word, -1))
        usleep(1000);
}

void loop_drain(struct loop *loop)
{
    insist(loop, LOOP_DRAIN);
}

bool loop_turns(const struct loop *loop)
{
    int64_t beat_ms = atomic_load_explicit(&loop->w.beat_ms, memory_order_relaxed);
    return clock_mono_ms() - beat_ms < SILENT_MS;
}

const struct worker_metrics *loop_metrics(const struct loop *loop)
{
    return &loop->w.metrics;
}

static void stop(struct loop *loop)
{
    insist(loop, LOOP_STOP);
    pthread_join(loop->thread, NULL);
    loop->running = false;
}

/* Connections that were given and never looked at. */
static void close_unread(struct loop *loop)
{
    struct loop_message m;
    while (loop->inbox_fd >= 0 && read(loop->inbox_fd, &m, sizeof m) == (ssize_t)sizeof m) {
        if (m.word == LOOP_CONNECTION)
            close(m.fd);
    }
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void loop_free(struct loop *loop)
{
    struct worker *w;
    if (!loop)
        return;
    w = &loop->w;
    if (loop->running)
        stop(loop);
    drain_free(loop->drain);
    while (w->calls)
        call_drop(w->calls);
    heartbeat_free(loop->heartbeat);
    server_free(loop->server);
    ai_pool_free(w->ai_pool);
    agent_urls_free(w->agent_urls);
    http_client_free(w->http);
    redis_async_free(w->redis);
    resolver_free(w->resolver);
    worker_run_deferred(w);
    free_event(loop->inbox);
    close_unread(loop);
    close_fd(loop->inbox_fd);
    close_fd(loop->outbox_fd);
    worker_release(w);
    free(loop);
}
