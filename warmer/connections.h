/* Bounds on the open connections of an HTTP server: how many, how long one request may take to arrive,
 * how much may be read ahead. evhttp of libevent 2.1 has none of these (its timeout begins anew with
 * every byte) and does not tell when a connection ends, so each one's bufferevent is kept with a
 * reference of our own, and a sweep lets go of those that evhttp has dropped. At the bound, accepting
 * pauses: the kernel's queue holds the rest. */
#pragma once
#include "common/base/metrics.h"

struct event_base;
struct evhttp;
struct evhttp_bound_socket;
struct evhttp_connection;
struct connections;

struct connections_spec {
    struct event_base *base;
    struct evhttp *http;
    struct evhttp_bound_socket *socket;
    size_t max;
    int64_t request_max_ms; /* for one request to arrive; then 408 and the end */
    size_t buffer_max;      /* bytes of a request, and bytes read ahead behind one that is being answered */
    size_t large_max;       /* requests at once that may be larger; further ones are read on once there is a place */
    size_t large_buffer_max;
    metric_value *open;   /* gauge */
    metric_value *pauses; /* counter */
    metric_value *slow;   /* counter */
    metric_value *large_waits; /* counter */
};

/* NULL when out of memory. Call before the first connection is accepted. */
RF_NODISCARD struct connections *connections_new(const struct connections_spec *spec);

/* A request of this connection has arrived; it was answered. NULL: its peer has gone. */
void connections_busy(struct connections *c, struct evhttp_connection *connection);
void connections_idle(struct connections *c, struct evhttp_connection *connection);

/* After this the socket stays closed for new connections. */
void connections_stop_accepting(struct connections *c);

/* After evhttp_free. Accepts NULL. */
void connections_free(struct connections *c);
