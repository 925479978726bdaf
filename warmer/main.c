/* The warmer: answers the carrier's webhooks. It loads what a call needs to know, once, before the
 * call begins, and leaves it in Redis. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/admin.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/headroom.h"
#include "common/base/log.h"
#include "common/base/log_sink.h"
#include "common/http/client.h"
#include "warmer/call_store.h"
#include "warmer/check.h"
#include "warmer/elevenlabs/intake.h"
#include "warmer/elevenlabs/shelf.h"
#include "warmer/load.h"
#include "warmer/outbound/outbound.h"
#include "warmer/server.h"

enum { STOP_MAX_MS = 10000, STOP_POLL_MS = 20 };

#define CONFIG_STRUCT struct warmer_config
static const struct config_row config_rows[] = {WARMER_CONFIG(CONFIG_ROW)};
#define METRIC_STRUCT struct warmer_metrics
static const struct metric_row metric_rows[] = {WARMER_METRICS(METRIC_ROW)};

static const struct config_spec config_spec = {
    .program = "warmer",
    .summary = "Answers the carrier's webhooks: loads a call's context once, keeps it in Redis, and connects the\n"
               "call to a worker.\n\n"
               "warmer --check [--from NUMBER] [--to NUMBER] connects to the database, prepares all statements, prints\n"
               "what a call would get and what is missing, and serves nobody. It fails if something is missing.",
    .rows = config_rows,
    .row_count = ARRAY_LEN(config_rows),
};

/* What main builds and takes down again. */
struct parts {
    struct warmer w;
    struct redis_url redis_url;
    struct resolver *resolver;
    struct server *server;
    struct intake *intake;
    struct admin *admin;
    struct headroom *headroom;
    struct event *signals[2];
    struct event *stop_poll;
    int64_t stop_began_ms; /* 0: running */
    bool reached;          /* Redis was, once */
    bool nothing_left;     /* when it was last looked, while stopping */
    bool misfit; /* this is not the Redis of a fleet like ours */
};

/* When Redis is lost later it stays ready: all warmers lose it at once, and who is not ready is sent no callers, who
 * then hear the carrier's error instead of an apology, and are not held until Redis is back. */
static const char *not_ready(void *arg)
{
    struct parts *p = arg;
    p->reached = p->reached || redis_async_up(p->w.redis);
    if (p->stop_began_ms)
        return "stopping";
    if (!headroom_left())
        return "memory is short: no new calls are taken";
    return p->reached ? NULL : "redis was not reached yet";
}

static void print_metrics(struct evbuffer *out, void *arg)
{
    struct parts *p = arg;
    metric_set(&p->w.metrics.dialling, outbound_busy(p->w.outbound));
    metric_set(&p->w.metrics.redis_up, redis_async_whole(p->w.redis));
    metric_set(&p->w.metrics.database_up, load_pool_connections_up(p->w.loads));
    if (load_pool_connections_up(p->w.loads) == 0)
        metric_set(&p->w.metrics.database_away, 1);
    metrics_print(out, metric_rows, ARRAY_LEN(metric_rows), &p->w.metrics);
}

static void on_stop_poll(evutil_socket_t fd, short what, void *arg)
{
    struct parts *p = arg;
    size_t left = server_requests(p->server) + p->w.partial + outbound_busy(p->w.outbound) + intake_busy(p->intake);
    bool over = left == 0 && p->nothing_left; /* the last answer, made a moment ago, has left as well */
    (void)fd;
    (void)what;
    p->nothing_left = left == 0;
    if (!over && clock_mono_ms() - p->stop_began_ms < STOP_MAX_MS)
        return;
    log_info(NULL, "stopped", log_int("requests_left", (int64_t)left),
             log_int("ms", clock_mono_ms() - p->stop_began_ms));
    event_base_loopbreak(p->w.base);
}

static void on_signal(evutil_socket_t number, short what, void *arg)
{
    struct parts *p = arg;
    struct timeval tv = {0, STOP_POLL_MS * 1000};
    (void)what;
    if (p->stop_began_ms)
        return;
    p->stop_began_ms = clock_mono_ms();
    log_info(NULL, "stopping", log_int("signal", number), log_int("requests", (int64_t)server_requests(p->server)));
    server_stop_accepting(p->server);
    outbound_stop(p->w.outbound);
    intake_stop(p->intake);
    event_add(p->stop_poll, &tv);
}

static bool watch_signals(struct parts *p)
{
    p->signals[0] = evsignal_new(p->w.base, SIGTERM, on_signal, p);
    p->signals[1] = evsignal_new(p->w.base, SIGINT, on_signal, p);
    p->stop_poll = event_new(p->w.base, -1, EV_PERSIST, on_stop_poll, p);
    signal(SIGPIPE, SIG_IGN);
    return p->signals[0] && p->signals[1] && p->stop_poll && event_add(p->signals[0], NULL) == 0 &&
           event_add(p->signals[1], NULL) == 0;
}

static void on_misfit(void *arg)
{
    struct parts *p = arg;
    p->misfit = true;
    event_base_loopbreak(p->w.base);
}

static bool connect_redis(struct parts *p)
{
    char error[256];
    struct redis_async_spec spec = {.base = p->w.base, .resolver = p->resolver, .url = &p->redis_url,
                                    .name = "warmer", .keys = &p->w.keys, .on_misfit = on_misfit, .arg = p,
                                    .redirects = &p->w.metrics.redis_redirects};
    if (redis_url_parse(p->w.config.redis_url, &p->redis_url, error, sizeof error) != 0) {
        log_error(NULL, "RINGFLEET_REDIS_URL is not right", log_str("error", error));
        return false;
    }
    p->w.redis = redis_async_new(&spec);
    return p->w.redis != NULL;
}

/* Paths are put behind it. */
static void trim_slashes(char *url)
{
    size_t len = strlen(url);
    while (len > 0 && url[len - 1] == '/')
        url[--len] = '\0';
}

/* evhttp turns reading and writing on and off many times for each request; only what is left of that at
 * the end of a turn goes to the kernel. */
static struct event_base *base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base = NULL;
    if (config && event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST) == 0)
        base = event_base_new_with_config(config);
    if (config)
        event_config_free(config);
    return base;
}

static bool build_calls(struct parts *p)
{
    return !call_store_wanted(&p->w.config) || (p->w.calls = call_store_new(&p->w, p->resolver));
}

static bool build_outbound(struct parts *p)
{
    if (!outbound_wanted(&p->w.config))
        return true;
    return (p->w.http = http_client_new(p->w.base)) && (p->w.outbound = outbound_new(&p->w));
}

static bool build_intake(struct parts *p)
{
    if (!*p->w.config.elevenlabs_webhook_secret)
        return true;
    if (*p->w.config.audio_dir && !(p->w.shelf = shelf_new(p->w.base, p->w.config.audio_dir)))
        return false;
    return (p->intake = intake_new(&p->w)) != NULL;
}

static bool build(struct parts *p)
{
    const struct admin_spec admin = {.listen = p->w.config.admin_listen, .not_ready = not_ready,
                                     .metrics = print_metrics, .arg = p};
    trim_slashes(p->w.config.public_url);
    p->w.keys = (struct key_space){p->w.config.key_prefix, (int)p->w.config.partitions};
    return crypto_init() && (p->w.base = base_new()) && (p->resolver = resolver_new(p->w.base)) && watch_signals(p) &&
           connect_redis(p) && (p->w.loads = load_pool_new(&p->w, p->resolver)) &&
           build_calls(p) && build_outbound(p) &&
           (p->server = server_new(&p->w)) && build_intake(p) && (p->admin = admin_new(p->w.base, &admin)) &&
           (p->headroom = headroom_new(p->w.base));
}

static void forget(struct event *event)
{
    if (event)
        event_free(event);
}

/* Whoever still waits is told that nothing will come, while there is a server to answer through. */
static void take_down(struct parts *p)
{
    admin_free(p->admin);
    headroom_free(p->headroom);
    outbound_stop(p->w.outbound);
    load_pool_free(p->w.loads);
    call_store_free(p->w.calls);
    redis_async_free(p->w.redis);
    outbound_free(p->w.outbound);
    intake_free(p->intake);
    shelf_free(p->w.shelf);
    http_client_free(p->w.http);
    server_free(p->server);
    redis_url_release(&p->redis_url);
    memos_release(&p->w.memos);
    forget(p->signals[0]);
    forget(p->signals[1]);
    forget(p->stop_poll);
    if (p->w.base)
        event_base_loop(p->w.base, EVLOOP_NONBLOCK); /* the turn that resolver_free wants */
    resolver_free(p->resolver);
    if (p->w.base)
        event_base_free(p->w.base);
}

int main(int argc, char **argv)
{
    static struct parts parts; /* zeroed; large for a stack */
    int positional = 0, status = EXIT_FAILURE;
    enum config_result config;
    struct check_spec check;
    bool checking;
    /* Its allocations are zeroed then by itself: calloc of glibc before 2.41 does not take what was freed a moment ago
     * from where free has put it. Before anything else of libevent. */
    event_set_mem_functions(malloc, realloc, free);
    log_init("warmer");
    checking = check_asked(&argc, argv, &check);
    config = config_load(&config_spec, &parts.w.config, argc, argv, &positional);
    if (config == CONFIG_OK && positional > 0) {
        fprintf(stderr, "warmer: takes no commands; see --help\n");
    } else if (config == CONFIG_OK && checking) {
        status = check_run(&parts.w.config, &check);
    } else if (config == CONFIG_OK) {
        log_set_level(parts.w.config.log_level);
        log_sink_never_wait();
        if (build(&parts)) {
            log_info(NULL, "started", log_str("version", RINGFLEET_VERSION), log_str("listen", parts.w.config.listen));
            event_base_dispatch(parts.w.base);
            status = parts.misfit ? EXIT_FAILURE : EXIT_SUCCESS;
        }
        take_down(&parts);
    }
    config_release(&config_spec, &parts.w.config);
    return config == CONFIG_HELP ? EXIT_SUCCESS : status;
}
