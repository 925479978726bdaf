/* Holds back what is written to a socket until the end of the loop's turn: libpq sends each sync at once, and
 * so each statement would be a packet and a wake-up of the server. Sockets that have no cork (Unix domain)
 * are left as they are. */
#pragma once
#include <event2/event.h>

#include "common/base/base.h"

struct cork {
    struct event *turn_end; /* active while the cork is in */
    evutil_socket_t fd;
    bool passed; /* something was let through in this turn */
};

/* -1 when out of memory. */
RF_NODISCARD int cork_init(struct cork *cork, struct event_base *base);
void cork_put_in(struct cork *cork, evutil_socket_t fd);
/* Lets the first thing of a turn through, for which nobody should wait, and holds back what follows it. */
void cork_let_first_through(struct cork *cork, evutil_socket_t fd);
/* Before the socket is closed. */
void cork_forget(struct cork *cork);
void cork_release(struct cork *cork);
