#include "warmer/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_struct.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/headroom.h"
#include "common/base/listen.h"
#include "common/base/log.h"
#include "warmer/connections.h"
#include "warmer/elevenlabs/webhooks.h"
#include "warmer/gate.h"
#include "warmer/load.h"
#include "warmer/outbound/callee.h"
#include "warmer/outbound/dialled.h"
#include "warmer/outbound/link.h"
#include "warmer/wrong.h"

enum {
    BODY_MAX = FORM_BYTES_MAX,
    HEADERS_MAX = 16 * 1024,
    HEAD_MAX = 256, /* of an answer */
    CONNECTION_TIMEOUT_SECONDS = 15, /* as long as the carrier waits (its total timeout) */
    REQUEST_MAX_MS = 10000,          /* for one request to arrive, however it drips */
    CONNECTIONS_MAX = 512,           /* below the usual limit of 1024 descriptors */
    LARGE_MAX = 8,                   /* requests above BODY_MAX at once: whoever sends them need not have a key */
};

struct server {
    struct warmer *w;
    struct evhttp *http;
    struct connections *connections;
    size_t requests;
    bool stopping;
    struct log_limit refused_limit;
};

typedef void handle_fn(struct request *r);

enum tail_kind { TAIL_NONE, TAIL_NUMBERS, TAIL_CALL };

static const struct route {
    const char *path;
    gate_fn *gate;
    handle_fn *handle;
    enum tail_kind tail; /* what the path goes on with */
    bool ours;      /* may be about a call that we dialled and the carrier knows by another id */
    bool reads;     /* GET; the others are POST */
    bool begins;    /* something new: not while memory is short */
    int body_max;
} routes[] = {
    {"/voice/incoming", gate_carrier, incoming_handle, TAIL_NONE, false, false, true, BODY_MAX},
    {"/voice/after/", gate_carrier, after_handle, TAIL_NUMBERS, true, false, false, BODY_MAX},
    {"/voice/fallback", gate_carrier, fallback_handle, TAIL_NONE, true, false, false, BODY_MAX},
    {"/voice/status", gate_carrier, status_handle, TAIL_NONE, true, false, false, BODY_MAX},
    {"/voice/stream", gate_carrier, stream_handle, TAIL_NONE, true, false, false, BODY_MAX},
    {"/voice/recording", gate_carrier, recording_handle, TAIL_NONE, true, false, false, BODY_MAX},
    {"/voice/outbound/", gate_carrier, answered_handle, TAIL_CALL, false, false, false, BODY_MAX},
    {"/voice/machine/", gate_carrier, machine_handle, TAIL_CALL, false, false, false, BODY_MAX},
    {"/voice/status/", gate_carrier, dialled_status_handle, TAIL_CALL, false, false, false, BODY_MAX},
    {"/calls", gate_api_key, calls_handle, TAIL_NONE, false, false, true, CALL_REQUEST_MAX},
    {"/calls/", gate_api_key, call_state_handle, TAIL_CALL, false, true, false, BODY_MAX},
    {"/prompts", gate_api_key, prompts_handle, TAIL_NONE, false, false, true, BODY_MAX},
    {"/webhooks/elevenlabs/dialogue", gate_tool_key, dialogue_handle, TAIL_NONE, false, false, false, BODY_MAX},
    {"/webhooks/elevenlabs/call", gate_tool_key, lookup_handle, TAIL_NONE, false, false, false, BODY_MAX},
    {"/webhooks/elevenlabs/personalization", gate_tool_key, personalization_handle, TAIL_NONE, false, false, true, BODY_MAX},
};

#define HEALTH_PATH "/healthz"

/* ---- answers ---- */

static void add_header(struct evhttp_request *http, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

/* As evhttp would write it for each answer, but made once a second. */
static const char *date_text(void)
{
    static struct {
        time_t second;
        char text[40];
    } last;
    time_t now = time(NULL);
    struct tm tm;
    if (now != last.second) {
        strftime(last.text, sizeof last.text, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &tm));
        last.second = now;
    }
    return last.text;
}

static const char *reason_of(int code)
{
    switch (code) {
    case 202:
        return "Accepted";
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Request Entity Too Large";
    case 422:
        return "Unprocessable Entity";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "OK";
    }
}

/* evhttp waits for the socket to be writable, a turn of the loop later. It nearly always is. */
static void write_now(struct bufferevent *bev)
{
    event_active(&bev->ev_write, EV_WRITE, 0);
}

static void send_status(struct server *server, struct evhttp_request *http, int code)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(http);
    add_header(http, "Date", date_text());
    if (server->stopping)
        add_header(http, "Connection", "close");
    connections_idle(server->connections, connection);
    evhttp_send_reply(http, code, reason_of(code), NULL);
    if (connection)
        write_now(evhttp_connection_get_bufferevent(connection));
}

static void count_requests(struct server *server, size_t requests)
{
    server->requests = requests;
    metric_set(&server->w->metrics.requests, requests);
}

static void request_free(struct request *r)
{
    count_requests(r->server, r->server->requests - 1);
    form_release(&r->form);
    free(r);
}

const char *request_header(const struct request *r, const char *name)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(r->_http), name);
    return value ? value : "";
}

/* Not so where the connection ends with the answer, or the client is an old one: evhttp knows what is due to those. */
static bool is_usual(const struct request *r)
{
    const struct evhttp_request *http = r->_http;
    return http->evcon && http->major == 1 && http->minor == 1 && !http->chunked && !r->server->stopping &&
           !*request_header(r, "Connection");
}

static size_t write_head(char head[HEAD_MAX], int code, const char *type, size_t len)
{
    char *to = decimal_put(stpcpy(head, "HTTP/1.1 "), code);
    to = stpcpy(stpcpy(stpcpy(to, " "), reason_of(code)), "\r\nContent-Type: ");
    to = stpcpy(stpcpy(stpcpy(to, type), "\r\nDate: "), date_text());
    return (size_t)(stpcpy(decimal_put(stpcpy(to, "\r\nContent-Length: "), (int64_t)len), "\r\n\r\n") - head);
}

/* What evhttp would write, at a tenth of its cost; it is told only that the answer is complete. */
static bool answer_usual(struct request *r, int code, const char *type, const char *text, size_t len)
{
    struct bufferevent *bev = evhttp_connection_get_bufferevent(r->_http->evcon);
    struct evbuffer *out = bufferevent_get_output(bev);
    char head[HEAD_MAX];
    size_t head_len = write_head(head, code, type, len);
    if (evbuffer_expand(out, head_len + len) != 0)
        return false;
    evbuffer_add(out, head, head_len);
    evbuffer_add(out, text, len);
    connections_idle(r->server->connections, r->_http->evcon);
    bufferevent_enable(bev, EV_WRITE);
    evhttp_send_reply_end(r->_http);
    write_now(bev);
    return true;
}

/* Without memory for the text there is no answer: an empty one would be obeyed. */
static void answer(struct request *r, int code, const char *type, const char *text, size_t len)
{
    if (!is_usual(r) || !answer_usual(r, code, type, text, len)) {
        bool whole = evbuffer_add(evhttp_request_get_output_buffer(r->_http), text, len) == 0;
        add_header(r->_http, "Content-Type", type);
        send_status(r->server, r->_http, whole ? code : 503);
    }
    request_free(r);
}

void request_answer(struct request *r, const struct twiml *document)
{
    answer(r, 200, "text/xml; charset=utf-8", document->text, document->len);
}

void request_answer_json(struct request *r, int code, const char *text)
{
    answer(r, code, "application/json", text, strlen(text));
}

void request_refuse(struct request *r, const char *wrong)
{
    int code = wrong_status(wrong);
    struct log_limit *limit = &r->server->refused_limit;
    if (code == 400)
        metric_add(&r->w->metrics.malformed, 1);
    if (log_allow(limit))
        log_warn(NULL, code == 400 ? "webhook malformed" : "webhook not served", log_str("why", wrong),
                 log_int("suppressed", limit->suppressed));
    request_answer_status(r, code);
}

const char *request_body(struct request *r, size_t *len)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r->_http);
    *len = evbuffer_get_length(in);
    return *len ? (const char *)evbuffer_pullup(in, -1) : "";
}

void request_answer_status(struct request *r, int code)
{
    send_status(r->server, r->_http, code);
    request_free(r);
}

/* ---- routes ---- */

/* A number of at most four digits; moves on behind it. */
static bool take_number(const char **at, int *out)
{
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > 4)
        return false;
    *out = atoi(*at);
    *at += digits;
    return true;
}

/* {n} or {n}/{vain}. */
static bool take_numbers(const char *tail, int *n, int *vain)
{
    *vain = 0;
    if (!take_number(&tail, n))
        return false;
    if (*tail == '/' && tail++ && !take_number(&tail, vain))
        return false;
    return *tail == '\0';
}

/* Clients may send %3A for the : of a call_sid. The carrier sends what it was given, and signs it so. */
static bool take_call(const char *tail, bool encoded, char out[CALL_SID_SIZE])
{
    size_t len = strlen(tail);
    char *decoded = encoded ? evhttp_uridecode(tail, 0, &len) : NULL;
    const char *sid = decoded ? decoded : tail;
    bool good = strlen(sid) == len && call_sid_valid(sid);
    if (good)
        strcpy(out, sid);
    free(decoded);
    return good;
}

/* What a path goes on with. */
struct tail {
    int n, vain;
    char call_sid[CALL_SID_SIZE];
};

static bool match(const struct route *route, const char *path, struct tail *tail)
{
    size_t len = strlen(route->path);
    if (route->tail == TAIL_NONE)
        return strcmp(path, route->path) == 0;
    if (strncmp(path, route->path, len) != 0)
        return false;
    return route->tail == TAIL_CALL ? take_call(path + len, route->reads, tail->call_sid)
                                    : take_numbers(path + len, &tail->n, &tail->vain);
}

static const struct route *find_route(const char *path, struct tail *tail)
{
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (path && match(&routes[i], path, tail))
            return &routes[i];
    }
    return NULL;
}

/* For load balancers. It says yes while Redis or Postgres is away: without a warmer behind it the
 * carrier would have nothing to say at all. */
static void answer_health(struct server *server, struct evhttp_request *http)
{
    add_header(http, "Content-Type", "text/plain; charset=utf-8");
    evbuffer_add_printf(evhttp_request_get_output_buffer(http), "%s\n", server->stopping ? "stopping" : "ok");
    send_status(server, http, server->stopping ? 503 : 200);
}

static struct request *request_new(struct server *server, struct evhttp_request *http)
{
    struct request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->server = server;
    r->w = server->w;
    r->_http = http;
    r->call_sid = "";
    r->began_us = clock_mono_us();
    count_requests(server, server->requests + 1);
    return r;
}

static void serve(struct server *server, struct evhttp_request *http, const struct route *route, const struct tail *tail)
{
    struct request *r = request_new(server, http);
    struct gate_result gate;
    if (!r) {
        send_status(server, http, 503);
        return;
    }
    gate = route->gate(r, http);
    r->n = tail->n;
    r->vain = tail->vain;
    if (route->tail == TAIL_CALL) {
        strcpy(r->own_sid, tail->call_sid);
        r->call_sid = r->own_sid;
    }
    if (gate.wrong)
        request_refuse(r, gate.wrong);
    else if (gate.refused)
        request_answer_status(r, gate.refused);
    else if (route->begins && !headroom_left())
        request_refuse(r, NO_MEMORY);
    else if (route->ours)
        link_resolve(r, route->handle);
    else
        route->handle(r);
}

static bool too_large(const struct route *route, struct evhttp_request *http)
{
    return evbuffer_get_length(evhttp_request_get_input_buffer(http)) > (size_t)route->body_max;
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct server *server = arg;
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    struct tail tail = {0};
    const struct route *route = find_route(path, &tail);
    bool health = path && strcmp(path, HEALTH_PATH) == 0;
    enum evhttp_cmd_type method = evhttp_request_get_command(http);
    connections_busy(server->connections, evhttp_request_get_connection(http));
    if (health && method == EVHTTP_REQ_GET) {
        answer_health(server, http);
    } else if (route && too_large(route, http)) {
        metric_add(&server->w->metrics.malformed, 1);
        send_status(server, http, 413);
    } else if (route && method == (route->reads ? EVHTTP_REQ_GET : EVHTTP_REQ_POST)) {
        serve(server, http, route, &tail);
    } else {
        metric_add(&server->w->metrics.no_route, 1);
        if (route || health)
            add_header(http, "Allow", health || route->reads ? "GET" : "POST");
        send_status(server, http, route || health ? 405 : 404);
    }
}

/* ---- life ---- */

static bool start(struct server *server)
{
    struct connections_spec spec = {.base = server->w->base, .max = CONNECTIONS_MAX,
                                    .open = &server->w->metrics.connections,
                                    .pauses = &server->w->metrics.accept_pauses,
                                    .slow = &server->w->metrics.slow_requests,
                                    .large_waits = &server->w->metrics.large_waits,
                                    .request_max_ms = REQUEST_MAX_MS,
                                    .buffer_max = BODY_MAX + HEADERS_MAX,
                                    .large_max = LARGE_MAX, .large_buffer_max = CALL_REQUEST_MAX + HEADERS_MAX};
    int fd = listen_socket(server->w->config.listen);
    if (fd < 0)
        return false;
    server->http = evhttp_new(server->w->base);
    spec.http = server->http;
    spec.socket = server->http ? evhttp_accept_socket_with_handle(server->http, fd) : NULL;
    if (!spec.socket) {
        close(fd);
        return false;
    }
    listen_guard(evhttp_bound_socket_get_listener(spec.socket));
    server->connections = connections_new(&spec);
    return server->connections != NULL;
}

struct server *server_new(struct warmer *w)
{
    struct server *server = calloc(1, sizeof *server);
    if (!server)
        return NULL;
    server->w = w;
    if (!start(server)) {
        log_error(NULL, "webhook port not available", log_str("listen", w->config.listen),
                  log_str("error", strerror(errno)));
        server_free(server);
        return NULL;
    }
    evhttp_set_timeout(server->http, CONNECTION_TIMEOUT_SECONDS);
    evhttp_set_max_headers_size(server->http, HEADERS_MAX);
    evhttp_set_max_body_size(server->http, CALL_REQUEST_MAX); /* of all routes; on_request knows which one it is */
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD | EVHTTP_REQ_PUT |
                                                 EVHTTP_REQ_DELETE | EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_gencb(server->http, on_request, server);
    return server;
}

void server_stop_accepting(struct server *server)
{
    server->stopping = true;
    connections_stop_accepting(server->connections);
}

size_t server_requests(const struct server *server)
{
    return server->requests;
}

void server_free(struct server *server)
{
    if (!server)
        return;
    if (server->http)
        evhttp_free(server->http);
    connections_free(server->connections);
    free(server);
}
