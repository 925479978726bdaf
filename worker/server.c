#include "worker/server.h"

#include <stdlib.h>

#include <event2/util.h>

#include "common/base/headroom.h"
#include "common/base/log.h"
#include "worker/call/call.h"

/* A carrier's message is some 400 bytes (Twilio: 20 ms of audio); none has reason to be larger. */
enum { CARRIER_MESSAGE_MAX = 65536 };

struct guest {
    struct server *server;
    struct ws_conn *ws;
    struct guest *older, *newer;
};

struct server {
    struct worker *w;
    struct guest *oldest, *newest;
    int count;
    struct log_limit limit;
};

static void show(struct server *s)
{
    metric_set(&s->w->metrics.guests, (uint64_t)s->count);
}

static void forget(struct guest *g)
{
    struct server *s = g->server;
    *(g->older ? &g->older->newer : &s->oldest) = g->newer;
    *(g->newer ? &g->newer->older : &s->newest) = g->older;
    s->count--;
    show(s);
    free(g);
}

static void remember(struct server *s, struct guest *g)
{
    g->server = s;
    g->older = s->newest;
    *(s->newest ? &s->newest->newer : &s->oldest) = g;
    s->newest = g;
    s->count++;
    show(s);
}

static bool admit(struct worker *w, const struct carrier *carrier, struct ws_conn *ws)
{
    if (w->draining || places_full(w->places) || !headroom_left())
        return false;
    if (w->newcomers >= SERVER_NEWCOMERS_MAX) {
        metric_add(&w->metrics.guests_dropped, 1);
        call_displace_newcomer(w);
    }
    return call_new(w, carrier, ws) != NULL;
}

/* Refused before the upgrade, so that the carrier knows at once and asks the action URL. */
static int on_request(struct ws_conn *ws, const struct ws_request *request, void *arg)
{
    struct guest *g = arg;
    struct worker *w = g->server->w;
    const struct carrier *carrier = carrier_at(request->path);
    int refused = 0;
    if (!carrier)
        refused = 404;
    else if (!request->upgrade)
        refused = 426;
    else if (!admit(w, carrier, ws))
        refused = 503;
    metric_add(refused ? &w->metrics.streams_refused : &w->metrics.streams_total, 1);
    if (!refused)
        forget(g); /* the call has the connection now, and its place in the load */
    return refused;
}

/* A connection that never became a stream: nothing was promised to anybody. */
static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct guest *g = arg;
    (void)ws;
    (void)code;
    (void)why;
    worker_unload(g->server->w);
    forget(g);
}

static const struct ws_handler door = {on_request, NULL, NULL, on_closed, NULL};

static void send_away(struct guest *g)
{
    ws_close(g->ws, WS_CLOSE_GOING_AWAY, "");
    worker_unload(g->server->w);
    forget(g);
}

void server_take(struct server *s, int fd)
{
    struct guest *g = calloc(1, sizeof *g);
    if (s->count >= SERVER_GUESTS_MAX) {
        metric_add(&s->w->metrics.guests_dropped, 1);
        send_away(s->oldest);
    }
    if (g)
        g->ws = ws_accept(s->w, fd, CARRIER_MESSAGE_MAX, &door, g);
    else
        evutil_closesocket(fd);
    if (g && g->ws) {
        remember(s, g);
        return;
    }
    free(g);
    worker_unload(s->w);
    if (log_allow(&s->limit))
        log_error(NULL, "no memory for a new connection", log_int("suppressed", s->limit.suppressed));
}

struct server *server_new(struct worker *w)
{
    struct server *s = calloc(1, sizeof *s);
    if (s)
        s->w = w;
    return s;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    while (s->oldest)
        send_away(s->oldest);
    free(s);
}
