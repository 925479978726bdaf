/* The worker: carries calls between the carrier's media streams and the AI voice provider, from
 * Redis alone. It does not link a database client. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/http.h>

#include "common/base/admin.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/ai_pool.h"
#include "worker/call.h"
#include "worker/heartbeat.h"
#include "worker/server.h"

#define CONFIG_STRUCT struct worker_config
static const struct config_row config_rows[] = {WORKER_CONFIG(CONFIG_ROW)};
static const struct config_spec config_spec = {
    .program = "worker",
    .summary = "Carries phone calls between a carrier's media streams and an AI voice provider.\n"
               "Serves each call from Redis and appends what happens to the call's journal there.",
    .rows = config_rows,
    .row_count = ARRAY_LEN(config_rows),
};

#define METRIC_STRUCT struct worker_metrics
static const struct metric_row metric_rows[] = {
#define X(id, name, code, verdict) METRIC_ROW(COUNTER, ended[REASON_##id], "calls_ended_total", "reason=\"" name "\"", "calls ended")
    CALL_REASONS(X)
#undef X
    WORKER_METRICS(METRIC_ROW)};

/* How often a draining worker looks whether its last call has gone. */
enum { DRAIN_LOOK_MS = 100, HAND_OVER_MS = 5000 };

/* The process: one loop for now, and what surrounds it. */
struct program {
    struct worker w;
    struct worker_config config;
    struct redis_url redis_url;
    struct server *server;
    struct heartbeat *heartbeat;
    struct admin *admin;
    struct event *sigterm, *sigint, *drain;
    int64_t drain_until_ms;
    bool handing_over;
    char id[128];
};

static const char *not_ready(void *arg)
{
    struct program *p = arg;
    if (p->w.draining)
        return "draining: no new calls are taken";
    if (!redis_async_up(p->w.redis))
        return "Redis is not reachable";
    return p->w.call_count >= p->config.max_calls ? "full: as many calls as RINGFLEET_MAX_CALLS" : NULL;
}

static void print_metrics(struct evbuffer *out, void *arg)
{
    struct program *p = arg;
    metric_set(&p->w.metrics.redis_up, redis_async_up(p->w.redis));
    metrics_print(out, metric_rows, ARRAY_LEN(metric_rows), &p->w.metrics);
}

static void on_redis_up(void *arg)
{
    struct program *p = arg;
    struct call *next;
    for (struct call *c = p->w.calls; c; c = next) {
        next = c->next;
        call_redis_up(c);
    }
}

static void run_deferred(evutil_socket_t fd, short what, void *arg)
{
    struct worker *w = arg;
    (void)fd;
    (void)what;
    while (w->deferred) {
        struct deferred *d = w->deferred;
        w->deferred = d->next;
        d->fn(d->arg);
    }
}

/* Calls finish by themselves until the limit; then they are handed over, and at last dropped. */
static void on_drain_look(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;
    struct call *next;
    (void)fd;
    (void)what;
    if (p->w.call_count == 0 && p->w.conn_count == 0) {
        event_base_loopbreak(p->w.base);
        return;
    }
    if (clock_mono_ms() < p->drain_until_ms)
        return;
    for (struct call *c = p->w.calls; c; c = next) {
        next = c->next;
        if (p->handing_over)
            call_drop(c);
        else
            call_on(c, &(struct call_event){.kind = CALL_EV_HAND_OVER});
    }
    p->handing_over = true;
    p->drain_until_ms = clock_mono_ms() + HAND_OVER_MS;
}

static void on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    struct program *p = arg;
    struct timeval look = {0, DRAIN_LOOK_MS * 1000};
    (void)what;
    if (p->w.draining)
        return;
    log_info(NULL, "draining", log_int("signal", signal_number), log_int("calls", p->w.call_count),
             log_int("limit_seconds", p->config.drain_seconds));
    p->w.draining = true;
    metric_set(&p->w.metrics.draining, 1);
    server_free(p->server);
    p->server = NULL;
    p->drain_until_ms = clock_mono_ms() + p->config.drain_seconds * 1000;
    event_add(p->drain, &look);
}

static void name_worker(struct program *p)
{
    char host[96] = "worker";
    if (*p->config.worker_id) {
        snprintf(p->id, sizeof p->id, "%s", p->config.worker_id);
    } else {
        gethostname(host, sizeof host - 1);
        snprintf(p->id, sizeof p->id, "%s-%d", host, (int)getpid());
    }
    p->w.id = p->id;
}

static bool take_ai_target(struct program *p)
{
    struct evhttp_uri *uri = evhttp_uri_parse(p->config.ai_url);
    struct ai_target *ai = &p->w.ai;
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    bool good = host && *host;
    p->w.provider = provider_named(p->config.ai_provider);
    if (good) {
        int port = evhttp_uri_get_port(uri);
        const char *path = evhttp_uri_get_path(uri);
        ai->tls = strcmp(evhttp_uri_get_scheme(uri), "wss") == 0;
        ai->port = (uint16_t)(port > 0 ? port : ai->tls ? 443 : 80);
        snprintf(ai->host, sizeof ai->host, "%s", host);
        snprintf(ai->path, sizeof ai->path, "%s", path && *path ? path : "/");
        p->w.provider->target(&p->config, ai);
    } else {
        log_error(NULL, "RINGFLEET_AI_URL has no host", log_str("value", p->config.ai_url));
    }
    if (uri)
        evhttp_uri_free(uri);
    return good;
}

static bool prepare_tls(struct program *p)
{
    const char *file = p->config.ai_ca_file;
    static const unsigned char http11[] = "\x08http/1.1";
    if (!p->w.ai.tls)
        return true;
    p->w.tls = SSL_CTX_new(TLS_client_method());
    if (!p->w.tls)
        return false;
    SSL_CTX_set_min_proto_version(p->w.tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(p->w.tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_alpn_protos(p->w.tls, http11, sizeof http11 - 1);
    if ((*file ? SSL_CTX_load_verify_locations(p->w.tls, file, NULL) : SSL_CTX_set_default_verify_paths(p->w.tls)) == 1)
        return true;
    log_error(NULL, "cannot read the certificates", log_str("RINGFLEET_AI_CA_FILE", file));
    return false;
}

static bool take_redis_url(struct program *p)
{
    char error[160];
    if (redis_url_parse(p->config.redis_url, &p->redis_url, error, sizeof error) == 0)
        return true;
    log_error(NULL, error);
    return false;
}

/* Two sockets a call and what the process needs: as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            log_warn(NULL, "cannot raise the limit of open files");
    }
}

static bool build(struct program *p)
{
    struct worker *w = &p->w;
    w->base = event_base_new();
    w->config = &p->config;
    w->keys = (struct key_space){p->config.key_prefix, (int)p->config.partitions};
    metric_set(&w->metrics.calls_capacity, (uint64_t)p->config.max_calls);
    if (!w->base || !take_ai_target(p) || !prepare_tls(p) || !take_redis_url(p))
        return false;
    w->deferred_event = event_new(w->base, -1, 0, run_deferred, w);
    w->resolver = resolver_new(w->base);
    if (!w->deferred_event || !w->resolver)
        return false;
    w->redis = redis_async_new(&(struct redis_async_spec){.base = w->base, .resolver = w->resolver,
                                                          .url = &p->redis_url, .name = "ringfleet-worker",
                                                          .on_up = on_redis_up, .arg = p});
    w->ai_pool = w->redis ? ai_pool_new(w) : NULL;
    p->server = w->ai_pool ? server_new(w) : NULL;
    p->heartbeat = p->server ? heartbeat_new(w) : NULL;
    p->admin = p->heartbeat ? admin_new(w->base, &(struct admin_spec){.listen = p->config.admin_listen,
                                                                      .not_ready = not_ready,
                                                                      .metrics = print_metrics, .arg = p})
                            : NULL;
    p->sigterm = evsignal_new(w->base, SIGTERM, on_stop, p);
    p->sigint = evsignal_new(w->base, SIGINT, on_stop, p);
    p->drain = event_new(w->base, -1, EV_PERSIST, on_drain_look, p);
    return p->admin && p->sigterm && p->sigint && p->drain && event_add(p->sigterm, NULL) == 0 &&
           event_add(p->sigint, NULL) == 0;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void tear_down(struct program *p)
{
    struct worker *w = &p->w;
    admin_free(p->admin);
    heartbeat_free(p->heartbeat);
    server_free(p->server);
    ai_pool_free(w->ai_pool);
    redis_async_free(w->redis);
    resolver_free(w->resolver);
    run_deferred(-1, 0, w);
    free_event(p->sigterm);
    free_event(p->sigint);
    free_event(p->drain);
    free_event(w->deferred_event);
    SSL_CTX_free(w->tls);
    while (w->spare_count > 0)
        free(w->spares[--w->spare_count]);
    if (w->base)
        event_base_free(w->base);
    redis_url_release(&p->redis_url);
    config_release(&config_spec, &p->config);
}

int main(int argc, char **argv)
{
    struct program *p = calloc(1, sizeof *p);
    int positional = 0, status = EXIT_FAILURE;
    enum config_result config;
    log_init("worker");
    if (!p)
        return EXIT_FAILURE;
    config = config_load(&config_spec, &p->config, argc, argv, &positional);
    if (config == CONFIG_OK && positional > 0) {
        fprintf(stderr, "worker: \"%s\" is not a flag; worker --help lists them\n", argv[1]);
        config = CONFIG_BAD;
    }
    if (config != CONFIG_OK) {
        config_release(&config_spec, &p->config);
        free(p);
        return config == CONFIG_HELP ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    log_set_level(p->config.log_level);
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    name_worker(p);
    if (build(p)) {
        log_info(NULL, "worker ready to listen", log_str("listen", p->config.listen), log_str("id", p->id),
                 log_int("max_calls", p->config.max_calls));
        event_base_dispatch(p->w.base);
        log_info(NULL, "worker stopped");
        status = EXIT_SUCCESS;
    }
    tear_down(p);
    free(p);
    return status;
}
