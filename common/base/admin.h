/* The admin port of a program: GET /healthz (the loop turns), /readyz (200, or 503 and why not)
 * and /metrics. Not meant for the public side. */
#pragma once
#include "common/base/base.h"

struct event_base;
struct evbuffer;
struct admin;

struct admin_spec {
    const char *listen;                                 /* "host:port" */
    const char *(*not_ready)(void *arg);                /* NULL when ready, else one sentence */
    void (*metrics)(struct evbuffer *out, void *arg);
    void *arg;
};

/* Listens at once. NULL, with a log line, when the address cannot be had. */
RF_NODISCARD struct admin *admin_new(struct event_base *base, const struct admin_spec *spec);
void admin_free(struct admin *admin);
