#include "warmer/connections.h"

#include <stdlib.h>

#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

enum { SWEEP_MS = 200 };

struct connections {
    struct connections_spec spec;
    struct event *sweep;
    struct bufferevent **held;
    size_t count;
    bool paused;
};

/* evhttp sets callbacks when it takes a connection; bufferevent_free, its last act, removes them. */
static bool is_dropped(struct bufferevent *bev)
{
    bufferevent_data_cb read_cb = NULL;
    bufferevent_event_cb event_cb = NULL;
    bufferevent_getcb(bev, &read_cb, NULL, &event_cb, NULL);
    return !read_cb && !event_cb;
}

static void let_go(struct connections *c, size_t i)
{
    bufferevent_decref(c->held[i]);
    c->held[i] = c->held[--c->count];
}

static void let_go_of_dropped(struct connections *c)
{
    for (size_t i = c->count; i-- > 0;) {
        if (is_dropped(c->held[i]))
            let_go(c, i);
    }
    metric_set(c->spec.open, c->count);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct connections *c = arg;
    (void)fd;
    (void)what;
    let_go_of_dropped(c);
    if (c->paused && c->count < c->spec.max && c->spec.socket) {
        c->paused = false;
        evconnlistener_enable(evhttp_bound_socket_get_listener(c->spec.socket));
    }
}

/* evhttp asks for the bufferevent of a connection it has just accepted. */
static struct bufferevent *on_accepted(struct event_base *base, void *arg)
{
    struct connections *c = arg;
    struct bufferevent *bev = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (!bev || c->count == c->spec.max)
        return bev; /* NULL: evhttp tries for itself */
    if (c->count == c->spec.max - 1)
        let_go_of_dropped(c); /* since the last sweep */
    bufferevent_incref(bev);
    c->held[c->count++] = bev;
    metric_set(c->spec.open, c->count);
    if (c->count == c->spec.max) {
        c->paused = true;
        metric_add(c->spec.pauses, 1);
        evconnlistener_disable(evhttp_bound_socket_get_listener(c->spec.socket));
    }
    return bev;
}

struct connections *connections_new(const struct connections_spec *spec)
{
    struct connections *c = calloc(1, sizeof *c);
    struct timeval tv = {0, SWEEP_MS * 1000};
    if (!c)
        return NULL;
    c->spec = *spec;
    c->held = calloc(spec->max, sizeof *c->held);
    c->sweep = event_new(spec->base, -1, EV_PERSIST, on_sweep, c);
    if (!c->held || !c->sweep) {
        connections_free(c);
        return NULL;
    }
    event_add(c->sweep, &tv);
    evhttp_set_bevcb(spec->http, on_accepted, c);
    return c;
}

void connections_stop_accepting(struct connections *c)
{
    if (c->spec.socket)
        evhttp_del_accept_socket(c->spec.http, c->spec.socket);
    c->spec.socket = NULL;
}

void connections_free(struct connections *c)
{
    if (!c)
        return;
    while (c->count > 0)
        let_go(c, c->count - 1);
    if (c->sweep)
        event_free(c->sweep);
    free(c->held);
    free(c);
}
