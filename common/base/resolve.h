/* Host names to addresses without blocking the loop.
 *
 * One resolver per event base. Numeric addresses are answered at once (inside the call); names
 * through DNS and /etc/hosts. */
#pragma once
#include <sys/socket.h>

#include "common/base/base.h"

struct event_base;
struct resolver;
struct resolve_request;

/* error is NULL and addr set (borrowed for the call), or a text says why there is no address. */
typedef void resolve_fn(const char *error, const struct sockaddr *addr, socklen_t len, void *arg);

RF_NODISCARD struct resolver *resolver_new(struct event_base *base);

/* After the base's last turn: inside evdns, requests that were cancelled end in the turn after, and
 * need the resolver for it. */
void resolver_free(struct resolver *resolver);

/* Calls back exactly once, unless cancelled. Returns NULL if it already has. */
struct resolve_request *resolve(struct resolver *resolver, const char *host, uint16_t port, resolve_fn *fn,
                                void *arg);
void resolve_cancel(struct resolve_request *request);
