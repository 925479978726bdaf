/* A bound on the open connections of an HTTP server. evhttp of libevent 2.1 has none and does not
 * tell when a connection ends, so each one's bufferevent is kept with a reference of our own, and a
 * sweep lets go of those that evhttp has dropped. At the bound, accepting pauses: the kernel's
 * queue holds the rest. */
#pragma once
#include "common/base/metrics.h"

struct event_base;
struct evhttp;
struct evhttp_bound_socket;
struct connections;

struct connections_spec {
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    size_t max;
    metric_value *open;   /* gauge */
    metric_value *pauses; /* counter */
};

/* NULL when out of memory. Call before the first connection is accepted. */
RF_NODISCARD struct connections *connections_new(const struct connections_spec *spec);

/* After this the socket stays closed for new connections. */
void connections_stop_accepting(struct connections *c);

/* After evhttp_free. Accepts NULL. */
void connections_free(struct connections *c);
