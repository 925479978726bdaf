#include "worker/acceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "common/base/listen.h"
#include "common/base/log.h"

/* After a failed accept (no descriptors left): a listener that stays readable would spin. */
enum { PAUSE_MS = 100 };

struct acceptor {
    struct loop **loops;
    int loop_count;
    int next; /* where the search begins, so that equals take turns */
    struct evconnlistener *listener;
    struct event *pause;
    metric_value *refused;
    struct log_limit limit;
};

static struct loop *least_loaded(struct acceptor *a)
{
    struct loop *best = a->loops[a->next];
    for (int i = 1; i < a->loop_count; i++) {
        struct loop *loop = a->loops[(a->next + i) % a->loop_count];
        if (loop_load(loop) < loop_load(best))
            best = loop;
    }
    a->next = (a->next + 1) % a->loop_count;
    return best;
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    struct acceptor *a = arg;
    (void)listener;
    (void)addr;
    (void)len;
    if (loop_give(least_loaded(a), fd) == 0)
        return;
    metric_add(a->refused, 1);
    if (log_allow(&a->limit))
        log_error(NULL, "no loop takes a new connection", log_int("suppressed", a->limit.suppressed));
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct acceptor *a = arg;
    struct timeval pause = {0, PAUSE_MS * 1000};
    if (log_allow(&a->limit))
        log_error(NULL, "cannot accept", log_str("error", strerror(errno)), log_int("suppressed", a->limit.suppressed));
    evconnlistener_disable(listener);
    event_add(a->pause, &pause);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
    struct acceptor *a = arg;
    (void)fd;
    (void)what;
    evconnlistener_enable(a->listener);
}

struct acceptor *acceptor_new(struct event_base *base, const char *listen, struct loop **loops, int loop_count,
                              metric_value *refused)
{
    struct acceptor *a = calloc(1, sizeof *a);
    int fd = a ? listen_socket(listen) : -1;
    if (fd >= 0) {
        a->loops = loops;
        a->loop_count = loop_count;
        a->refused = refused;
        a->pause = evtimer_new(base, on_pause_over, a);
        a->listener = evconnlistener_new(base, on_accept, a, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    }
    if (fd < 0 || !a->listener || !a->pause) {
        log_error(NULL, "media port not available", log_str("listen", listen), log_str("error", strerror(errno)));
        if (fd >= 0 && !a->listener)
            close(fd);
        acceptor_free(a);
        return NULL;
    }
    evconnlistener_set_error_cb(a->listener, on_accept_error);
    return a;
}

void acceptor_free(struct acceptor *a)
{
    if (!a)
        return;
    if (a->listener)
        evconnlistener_free(a->listener);
    if (a->pause)
        event_free(a->pause);
    free(a);
}
