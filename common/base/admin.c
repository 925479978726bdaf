#include "common/base/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/util.h>

#include "common/base/listen.h"
#include "common/base/log.h"
#include "common/base/process.h"

struct admin {
    struct evhttp *http;
    struct admin_spec spec;
};

enum { ADMIN_TIMEOUT_SECONDS = 10, ADMIN_HEADERS_MAX = 8192 };

static void reply(struct evhttp_request *req, int code, const char *reason, const char *text)
{
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "text/plain; charset=utf-8");
    evbuffer_add_printf(evhttp_request_get_output_buffer(req), "%s\n", text);
    evhttp_send_reply(req, code, reason, NULL);
}

static void on_healthz(struct evhttp_request *req, void *arg)
{
    (void)arg;
    reply(req, 200, "OK", "ok");
}

static void on_readyz(struct evhttp_request *req, void *arg)
{
    struct admin *admin = arg;
    const char *why = admin->spec.not_ready(admin->spec.arg);
    if (why)
        reply(req, 503, "Service Unavailable", why);
    else
        reply(req, 200, "OK", "ready");
}

static void on_metrics(struct evhttp_request *req, void *arg)
{
    struct admin *admin = arg;
    evhttp_add_header(evhttp_request_get_output_headers(req), "Content-Type", "text/plain; version=0.0.4");
    admin->spec.metrics(evhttp_request_get_output_buffer(req), admin->spec.arg);
    process_metrics_print(evhttp_request_get_output_buffer(req));
    evhttp_send_reply(req, 200, "OK", NULL);
}

struct admin *admin_new(struct event_base *base, const struct admin_spec *spec)
{
    struct admin *admin = calloc(1, sizeof *admin);
    if (!admin)
        return NULL;
    admin->spec = *spec;
    admin->http = evhttp_new(base);
    if (!admin->http || listen_http(admin->http, spec->listen) != 0) {
        log_error(NULL, "admin port not available", log_str("listen", spec->listen), log_str("error", strerror(errno)));
        admin_free(admin);
        return NULL;
    }
    evhttp_set_timeout(admin->http, ADMIN_TIMEOUT_SECONDS);
    evhttp_set_max_headers_size(admin->http, ADMIN_HEADERS_MAX);
    evhttp_set_max_body_size(admin->http, 0);
    evhttp_set_allowed_methods(admin->http, EVHTTP_REQ_GET);
    evhttp_set_cb(admin->http, "/healthz", on_healthz, admin);
    evhttp_set_cb(admin->http, "/readyz", on_readyz, admin);
    evhttp_set_cb(admin->http, "/metrics", on_metrics, admin);
    return admin;
}

void admin_free(struct admin *admin)
{
    if (!admin)
        return;
    if (admin->http)
        evhttp_free(admin->http);
    free(admin);
}
