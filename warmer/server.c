#include "warmer/server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "common/base/clock.h"
#include "common/base/listen.h"
#include "common/base/log.h"
#include "warmer/connections.h"
#include "warmer/signature.h"

enum {
    BODY_MAX = FORM_BYTES_MAX,
    HEADERS_MAX = 16 * 1024,
    CONNECTION_TIMEOUT_SECONDS = 15, /* as long as the carrier waits (its total timeout) */
    CONNECTIONS_MAX = 512,           /* below the usual limit of 1024 descriptors */
    URL_MAX = 2048,
    NAMES_LOGGED_MAX = 512,
};

struct server {
    struct warmer *w;
    struct evhttp *http;
    struct connections *connections;
    size_t requests;
    bool stopping;
    struct log_limit forged_limit, malformed_limit;
};

typedef void handle_fn(struct request *r);

static const struct {
    const char *path;
    handle_fn *handle;
    bool numbered; /* the path goes on with a number */
} routes[] = {
    {"/voice/incoming", incoming_handle, false},
    {"/voice/after/", after_handle, true},
    {"/voice/status", status_handle, false},
};

/* ---- answers ---- */

static void add_header(struct evhttp_request *http, const char *name, const char *value)
{
    evhttp_add_header(evhttp_request_get_output_headers(http), name, value);
}

static const char *reason_of(int code)
{
    switch (code) {
    case 204:
        return "No Content";
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 503:
        return "Service Unavailable";
    default:
        return "OK";
    }
}

static void send_status(struct server *server, struct evhttp_request *http, int code)
{
    if (server->stopping)
        add_header(http, "Connection", "close");
    evhttp_send_reply(http, code, reason_of(code), NULL);
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

void request_answer(struct request *r, const struct twiml *document)
{
    add_header(r->_http, "Content-Type", "text/xml; charset=utf-8");
    evbuffer_add(evhttp_request_get_output_buffer(r->_http), document->text, document->len);
    send_status(r->server, r->_http, 200);
    request_free(r);
}

void request_answer_status(struct request *r, int code)
{
    send_status(r->server, r->_http, code);
    request_free(r);
}

/* ---- the gate ---- */

static const char *header(struct evhttp_request *http, const char *name)
{
    const char *value = evhttp_find_header(evhttp_request_get_input_headers(http), name);
    return value ? value : "";
}

/* For people who look for the reason of a refusal: which parameters came, not what they said. */
static void log_forged(struct server *server, const struct request *r, const char *why)
{
    char names[NAMES_LOGGED_MAX] = "";
    size_t len = 0;
    if (!log_allow(&server->forged_limit))
        return;
    for (size_t i = 0; i < r->form.count; i++) {
        size_t n = strlen(r->form.fields[i].name);
        if (len + n + 2 > sizeof names)
            break;
        memcpy(names + len, r->form.fields[i].name, n);
        len += n;
        names[len++] = ' ';
    }
    names[len ? len - 1 : 0] = '\0';
    log_warn(NULL, "webhook refused", log_str("why", why), log_str("parameters", names),
             log_int("suppressed", server->forged_limit.suppressed));
}

static bool is_form(struct evhttp_request *http)
{
    static const char type[] = "application/x-www-form-urlencoded";
    const char *given = header(http, "Content-Type");
    return *given == '\0' || strncasecmp(given, type, sizeof type - 1) == 0;
}

/* What the carrier has signed: the base it was given, and the request's target as it came. */
static bool signed_by_carrier(struct request *r, const void *body, size_t len)
{
    const struct warmer_config *config = &r->w->config;
    const char *target = evhttp_request_get_uri(r->_http);
    struct signed_request request = {.form = is_form(r->_http) ? &r->form : NULL, .body = body, .body_len = len};
    char url[URL_MAX];
    int url_len = snprintf(url, sizeof url, "%s%s", config->public_url, target);
    if (url_len < 0 || (size_t)url_len >= sizeof url)
        return false;
    request.url = url;
    return signature_good(&request, config->twilio_auth_token, header(r->_http, "X-Twilio-Signature"));
}

/* 0, or the status to refuse with. */
static int pass_gate(struct request *r)
{
    struct evbuffer *in = evhttp_request_get_input_buffer(r->_http);
    size_t len = evbuffer_get_length(in);
    const char *body = len ? (const char *)evbuffer_pullup(in, -1) : "";
    const char *wrong = NULL;
    if (!body)
        return 503; /* out of memory */
    if (is_form(r->_http))
        wrong = form_parse(&r->form, body, len);
    if (!wrong && !signed_by_carrier(r, body, len)) {
        metric_add(&r->w->metrics.forged, 1);
        log_forged(r->server, r, *header(r->_http, "X-Twilio-Signature") ? "wrong signature" : "no signature");
        return 403;
    }
    r->call_sid = form_get(&r->form, "CallSid");
    if (!wrong && !call_sid_valid(r->call_sid))
        wrong = "no usable CallSid";
    if (wrong) {
        metric_add(&r->w->metrics.malformed, 1);
        if (log_allow(&r->server->malformed_limit))
            log_warn(NULL, "webhook malformed", log_str("why", wrong),
                     log_int("suppressed", r->server->malformed_limit.suppressed));
        return 400;
    }
    return 0;
}

/* ---- routes ---- */

static bool match(size_t i, const char *path, int *n)
{
    size_t len = strlen(routes[i].path), digits;
    *n = 0;
    if (!routes[i].numbered)
        return strcmp(path, routes[i].path) == 0;
    if (strncmp(path, routes[i].path, len) != 0)
        return false;
    digits = strspn(path + len, "0123456789");
    *n = digits <= 4 ? atoi(path + len) : 0;
    return digits > 0 && digits <= 4 && path[len + digits] == '\0';
}

static handle_fn *find_route(struct evhttp_request *http, int *n)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(http));
    for (size_t i = 0; i < ARRAY_LEN(routes); i++) {
        if (path && match(i, path, n))
            return routes[i].handle;
    }
    return NULL;
}

static void on_request(struct evhttp_request *http, void *arg)
{
    struct server *server = arg;
    int n, refused;
    handle_fn *handle = find_route(http, &n);
    struct request *r;
    if (!handle || evhttp_request_get_command(http) != EVHTTP_REQ_POST) {
        metric_add(&server->w->metrics.no_route, 1);
        if (handle)
            add_header(http, "Allow", "POST");
        send_status(server, http, handle ? 405 : 404);
        return;
    }
    r = calloc(1, sizeof *r);
    if (!r) {
        send_status(server, http, 503);
        return;
    }
    r->server = server;
    r->w = server->w;
    r->_http = http;
    r->n = n;
    r->began_us = clock_mono_us();
    count_requests(server, server->requests + 1);
    refused = pass_gate(r);
    if (refused)
        request_answer_status(r, refused);
    else
        handle(r);
}

/* ---- life ---- */

static bool start(struct server *server)
{
    struct connections_spec spec = {.base = server->w->base, .max = CONNECTIONS_MAX,
                                    .open = &server->w->metrics.connections,
                                    .pauses = &server->w->metrics.accept_pauses};
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
    evhttp_set_max_body_size(server->http, BODY_MAX);
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
