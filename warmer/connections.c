#include "warmer/connections.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/base/clock.h"

enum { SWEEP_MS = 200 };

struct held {
    struct bufferevent *bev;
    struct connections *all;
    bool busy;        /* a request is being answered */
    bool large;       /* it, or the one that is arriving, has one of the places of large ones */
    bool waits;       /* for such a place: nothing is read */
    bool ended;       /* by us: what still comes is nothing */
    size_t arrived;   /* bytes of the request that is arriving */
    int64_t since_ms; /* when the first of them came; 0: none is */
};

struct connections {
    struct connections_spec spec;
    struct event *sweep;
    struct held **held;
    size_t count, large;
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

static bool take_large(struct held *held)
{
    struct connections *c = held->all;
    if (!held->large && c->large < c->spec.large_max) {
        held->large = true;
        c->large++;
    }
    if (!held->large && !held->waits)
        metric_add(c->spec.large_waits, 1);
    held->waits = !held->large;
    return held->large;
}

static void leave_large(struct held *held)
{
    held->all->large -= held->large;
    held->large = false;
}

static void let_go(struct connections *c, size_t i)
{
    leave_large(c->held[i]);
    bufferevent_decref(c->held[i]->bev); /* with it goes the buffer, and its callback */
    free(c->held[i]);
    c->held[i] = c->held[--c->count];
}

static void let_go_of_dropped(struct connections *c)
{
    for (size_t i = c->count; i-- > 0;) {
        if (is_dropped(c->held[i]->bev))
            let_go(c, i);
    }
    metric_set(c->spec.open, c->count);
}

/* Speaks past evhttp, which is still reading and has nothing to say. It sees the end of the connection
 * and cleans up. */
static void end_slow(struct connections *c, struct held *held)
{
    static const char said[] = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    evutil_socket_t fd = bufferevent_getfd(held->bev);
    metric_add(c->spec.slow, 1);
    held->since_ms = 0;
    held->ended = true;
    if (send(fd, said, sizeof said - 1, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0 || errno != EPIPE)
        shutdown(fd, SHUT_RDWR);
    if (held->waits) /* evhttp was reading before, and reads the end now */
        bufferevent_enable(held->bev, EV_READ);
    held->waits = false;
}

static void end_slow_ones(struct connections *c)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < c->count; i++) {
        if (c->held[i]->since_ms && now - c->held[i]->since_ms > c->spec.request_max_ms)
            end_slow(c, c->held[i]);
    }
}

static void read_on(struct connections *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->held[i]->waits && take_large(c->held[i]))
            bufferevent_enable(c->held[i]->bev, EV_READ);
    }
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
    struct connections *c = arg;
    (void)fd;
    (void)what;
    let_go_of_dropped(c);
    end_slow_ones(c);
    read_on(c);
    if (c->paused && c->count < c->spec.max && c->spec.socket) {
        c->paused = false;
        evconnlistener_enable(evhttp_bound_socket_get_listener(c->spec.socket));
    }
}

/* A watermark would do the same for what is read ahead, but looks at each line that evhttp takes, too. evhttp goes on
 * reading when the request that is being answered is over, and its answer taken. */
static bool too_much(struct held *held, size_t length)
{
    const struct connections_spec *spec = &held->all->spec;
    if (!held->busy && held->arrived >= spec->buffer_max && !take_large(held))
        return true;
    return length >= (!held->busy && held->large ? spec->large_buffer_max : spec->buffer_max);
}

static void on_bytes(struct evbuffer *input, const struct evbuffer_cb_info *info, void *arg)
{
    struct held *held = arg;
    if (info->n_added == 0 || held->ended)
        return;
    if (!held->busy) {
        held->arrived += info->n_added;
        if (!held->since_ms)
            held->since_ms = clock_mono_ms();
    }
    if (too_much(held, evbuffer_get_length(input)))
        bufferevent_disable(held->bev, EV_READ);
}

static void hold(struct connections *c, struct bufferevent *bev)
{
    struct held *held = calloc(1, sizeof *held);
    if (!held || !evbuffer_add_cb(bufferevent_get_input(bev), on_bytes, held)) {
        free(held);
        return;
    }
    held->bev = bev;
    held->all = c;
    bufferevent_incref(bev);
    c->held[c->count++] = held;
    metric_set(c->spec.open, c->count);
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
    hold(c, bev);
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

static struct held *find(struct connections *c, struct evhttp_connection *connection)
{
    struct bufferevent *bev = connection ? evhttp_connection_get_bufferevent(connection) : NULL;
    for (size_t i = 0; bev && i < c->count; i++) {
        if (c->held[i]->bev == bev)
            return c->held[i];
    }
    return NULL;
}

void connections_busy(struct connections *c, struct evhttp_connection *connection)
{
    struct held *held = find(c, connection);
    if (!held)
        return;
    held->busy = true;
    held->waits = false;
    held->arrived = 0;
    held->since_ms = 0;
}

void connections_idle(struct connections *c, struct evhttp_connection *connection)
{
    struct held *held = find(c, connection);
    if (!held)
        return;
    leave_large(held);
    held->busy = false; /* the next request may have come behind the last one */
    held->arrived = evbuffer_get_length(bufferevent_get_input(held->bev));
    held->since_ms = held->arrived > 0 ? clock_mono_ms() : 0;
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
