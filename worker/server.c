#include "worker/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/listener.h>

#include "common/base/listen.h"
#include "common/base/log.h"
#include "worker/call.h"

/* A carrier's message is some 400 bytes (Twilio: 20 ms of audio); none has reason to be larger. */
enum { CARRIER_MESSAGE_MAX = 65536 };

struct server {
    struct worker *w;
    struct evconnlistener *listener;
    struct log_limit limit;
};

/* Refused before the upgrade, so that the carrier knows at once and asks the action URL. */
static int on_request(struct ws_conn *ws, const struct ws_request *request, void *arg)
{
    struct worker *w = arg;
    const struct carrier *carrier = carrier_at(request->path);
    int refused = 0;
    if (!carrier)
        refused = 404;
    else if (!request->upgrade)
        refused = 426;
    else if (w->draining || w->call_count >= w->config->max_calls || !call_new(w, carrier, ws))
        refused = 503;
    metric_add(refused ? &w->metrics.streams_refused : &w->metrics.streams_total, 1);
    return refused;
}

/* A connection that never became a stream: nothing was promised to anybody. */
static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    (void)ws;
    (void)code;
    (void)why;
    (void)arg;
}

static const struct ws_handler door = {on_request, NULL, NULL, on_closed};

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *addr, int len, void *arg)
{
    struct server *s = arg;
    (void)listener;
    (void)addr;
    (void)len;
    if (ws_accept(s->w, fd, CARRIER_MESSAGE_MAX, &door, s->w) != 0 && log_allow(&s->limit))
        log_error(NULL, "no memory for a new connection");
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    struct server *s = arg;
    (void)listener;
    if (log_allow(&s->limit))
        log_error(NULL, "cannot accept", log_str("error", strerror(errno)), log_int("suppressed", s->limit.suppressed));
}

struct server *server_new(struct worker *w)
{
    struct server *s = calloc(1, sizeof *s);
    int fd = s ? listen_socket(w->config->listen) : -1;
    if (fd >= 0) {
        s->w = w;
        s->listener = evconnlistener_new(w->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    }
    if (fd < 0 || !s->listener) {
        log_error(NULL, "media port not available", log_str("listen", w->config->listen),
                  log_str("error", strerror(errno)));
        if (fd >= 0)
            close(fd);
        free(s);
        return NULL;
    }
    evconnlistener_set_error_cb(s->listener, on_accept_error);
    return s;
}

void server_free(struct server *s)
{
    if (!s)
        return;
    evconnlistener_free(s->listener);
    free(s);
}
