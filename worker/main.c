/* The worker: carries calls between the carrier's media streams and the AI voice provider, from
 * Redis alone. It does not link a database client.
 *
 * Calls live in event loops (loop.h), each on a thread of its own. The main thread listens for the
 * carrier and for signals, shows metrics and readiness, and tells the fleet that this worker is there. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <jansson.h>

#include "common/base/admin.h"
#include "common/base/crypto.h"
#include "common/base/headroom.h"
#include "common/base/log.h"
#include "common/base/log_sink.h"
#include "worker/acceptor.h"
#include "worker/loop.h"
#include "worker/presence.h"
#include "worker/spool/command.h"
#include "worker/spool/spool.h"

#define CONFIG_STRUCT struct worker_config
static const struct config_row config_rows[] = {WORKER_CONFIG(CONFIG_ROW)};
static const struct config_spec config_spec = {
    .program = "worker",
    .summary = "Carries phone calls between a carrier's media streams and an AI voice provider.\n"
               "Serves each call from Redis and appends what happens to the call's journal there.",
    .commands = "  (none)        run until SIGTERM\n"
                "  spool [DIR]   the calls of which journal entries wait on disk, in RINGFLEET_SPOOL_DIR by default\n",
    .rows = config_rows,
    .row_count = ARRAY_LEN(config_rows),
};

/* How often a draining worker looks whether its last call has gone. */
enum {
    DRAIN_LOOK_MS = 100,
    FAREWELL_LOOKS = 20, /* then the closing handshakes have had their time */
    LOOPS_MAX = 64,
};

struct program {
    struct worker_config config;
    struct shared shared;
    struct event_base *base; /* the main thread's */
    struct loop **loops;
    int loop_count;
    struct acceptor *acceptor;
    struct presence *presence;
    struct admin *admin;
    struct headroom *headroom;
    struct event *sigterm, *sigint, *drain;
    bool draining, misfit;
    int farewells; /* looks since the last call has gone */
    metric_value refused;
};

static void print_metrics(struct evbuffer *out, void *arg)
{
    struct program *p = arg;
    const void *parts[LOOPS_MAX];
    struct worker_metrics total;
    for (int i = 0; i < p->loop_count; i++)
        parts[i] = loop_metrics(p->loops[i]);
    worker_metrics_sum(&total, parts, p->loop_count);
    metric_set(&total.calls_capacity, (uint64_t)p->shared.places.max);
    metric_set(&total.draining, p->draining);
    metric_set(&total.loops, (uint64_t)p->loop_count);
    metric_set(&total.loops_full, metric_get(&p->refused));
    if (p->shared.spool)
        spool_show(p->shared.spool, &total);
    worker_metrics_print(out, &total);
}

static const char *not_ready(void *arg)
{
    struct program *p = arg;
    if (p->draining)
        return "draining: no new calls are taken";
    for (int i = 0; i < p->loop_count; i++) {
        if (!loop_turns(p->loops[i]))
            return "an event loop is stuck";
        if (!metric_get(&loop_metrics(p->loops[i])->redis_reached))
            return "Redis is not reachable";
        if (!metric_get(&loop_metrics(p->loops[i])->ai_address_known))
            return "the AI provider has not said yet where its agent is reached";
    }
    if (!headroom_left())
        return "memory is short: no new calls are taken";
    return places_full(&p->shared.places) ? "full: as many calls as RINGFLEET_MAX_CALLS" : NULL;
}

static void on_drain_look(evutil_socket_t fd, short what, void *arg)
{
    struct program *p = arg;
    uint64_t websockets = 0, newcomers = 0;
    (void)fd;
    (void)what;
    for (int i = 0; i < p->loop_count; i++) {
        websockets += metric_get(&loop_metrics(p->loops[i])->websockets);
        newcomers += metric_get(&loop_metrics(p->loops[i])->newcomers);
    }
    if (places_taken(&p->shared.places) > 0 || newcomers > 0) /* a stream that has just come will be a call */
        return;
    if (websockets == 0 || p->farewells++ == FAREWELL_LOOKS)
        event_base_loopbreak(p->base);
}

/* The door stays open: who comes now is told 503 and goes to another worker. */
static void on_stop(evutil_socket_t signal_number, short what, void *arg)
{
    struct program *p = arg;
    struct timeval look = {0, DRAIN_LOOK_MS * 1000};
    (void)what;
    if (p->draining)
        return;
    p->draining = true;
    log_info(NULL, "draining", log_int("signal", signal_number), log_int("calls", places_taken(&p->shared.places)),
             log_int("limit_seconds", p->config.drain_seconds));
    for (int i = 0; i < p->loop_count; i++)
        loop_drain(p->loops[i]);
    presence_drain(p->presence);
    event_add(p->drain, &look);
}

static void on_misfit(void *arg)
{
    struct program *p = arg;
    p->misfit = true;
    event_base_loopbreak(p->base);
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

static bool build_loops(struct program *p)
{
    p->loops = calloc((size_t)p->config.threads, sizeof(struct loop *));
    for (int i = 0; p->loops && i < p->config.threads; i++) {
        p->loops[i] = loop_new(&p->shared);
        if (!p->loops[i])
            return false;
        p->loop_count++;
    }
    return p->loops != NULL;
}

static bool build(struct program *p)
{
    p->base = event_base_new();
    if (!crypto_init() || !p->base || shared_init(&p->shared, &p->config) != 0 || !build_loops(p))
        return false;
    p->acceptor = acceptor_new(p->base, p->config.listen, p->loops, p->loop_count, &p->refused);
    p->presence = p->acceptor ? presence_new(p->base, &p->shared, on_misfit, p) : NULL;
    p->admin = p->presence ? admin_new(p->base, &(struct admin_spec){.listen = p->config.admin_listen,
                                                                     .not_ready = not_ready,
                                                                     .metrics = print_metrics, .arg = p})
                           : NULL;
    p->headroom = p->admin ? headroom_new(p->base) : NULL;
    p->sigterm = evsignal_new(p->base, SIGTERM, on_stop, p);
    p->sigint = evsignal_new(p->base, SIGINT, on_stop, p);
    p->drain = event_new(p->base, -1, EV_PERSIST, on_drain_look, p);
    return p->headroom && p->sigterm && p->sigint && p->drain && event_add(p->sigterm, NULL) == 0 &&
           event_add(p->sigint, NULL) == 0;
}

/* The loops' threads take no signals: those are the main thread's, which has its handlers by now. */
static bool start_loops(struct program *p)
{
    sigset_t all, before;
    bool ok = true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int i = 0; i < p->loop_count && ok; i++)
        ok = loop_start(p->loops[i]) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return ok;
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static void tear_down(struct program *p)
{
    acceptor_free(p->acceptor);
    for (int i = 0; i < p->loop_count; i++)
        loop_free(p->loops[i]);
    free(p->loops);
    admin_free(p->admin);
    headroom_free(p->headroom);
    presence_free(p->presence);
    free_event(p->sigterm);
    free_event(p->sigint);
    free_event(p->drain);
    if (p->base)
        event_base_free(p->base);
    shared_release(&p->shared);
    config_release(&config_spec, &p->config);
}

static bool take_config(struct program *p, int argc, char **argv, int *status)
{
    int positional = 0;
    enum config_result result = config_load(&config_spec, &p->config, argc, argv, &positional);
    if (result == CONFIG_OK && positional > 0) {
        fprintf(stderr, "worker: \"%s\" is neither a command nor a flag; worker --help lists them\n", argv[1]);
        result = CONFIG_BAD;
    }
    *status = result == CONFIG_HELP ? EXIT_SUCCESS : EXIT_FAILURE;
    return result == CONFIG_OK;
}

/* Libraries with state of their own, before there is a second thread. */
static void prepare_process(const struct program *p)
{
    log_set_level(p->config.log_level);
    log_sink_never_wait();
    signal(SIGPIPE, SIG_IGN);
    raise_file_limit();
    evthread_use_pthreads();
    json_object_seed(0);
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int main(int argc, char **argv)
{
    struct program *p = calloc(1, sizeof *p);
    int status = EXIT_FAILURE;
    log_init("worker");
    if (argc > 1 && strcmp(argv[1], "spool") == 0) { /* needs no settings */
        free(p);
        return spool_command(argc - 2, argv + 2);
    }
    if (!p)
        return EXIT_FAILURE;
    if (take_config(p, argc, argv, &status)) {
        prepare_process(p);
        if (build(p) && start_loops(p)) {
            log_info(NULL, "worker ready to listen", log_str("listen", p->config.listen), log_str("id", p->shared.id),
                     log_int("max_calls", p->config.max_calls), log_int("threads", p->loop_count));
            event_base_dispatch(p->base);
            log_info(NULL, "worker stopped");
            status = p->misfit ? EXIT_FAILURE : EXIT_SUCCESS;
        }
    }
    tear_down(p);
    free(p);
    return status;
}
