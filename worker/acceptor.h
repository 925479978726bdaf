/* The media port, on the main thread: each connection goes to the loop that carries the fewest.
 *
 * One listening socket, and not one per loop with SO_REUSEPORT: the kernel spreads those by a hash of
 * the addresses, blind to load. With the few, minutes-long connections of calls that is uneven (with 8
 * calls on 4 loops, one loop has 4 or more every other time), and it stays uneven for minutes. An
 * accept per call costs nothing. */
#pragma once
#include "worker/loop.h"

struct acceptor;
struct event_base;

/* Listens at once. NULL, with a log line, when the address cannot be had. loops is borrowed; refused
 * counts connections no loop could take. */
RF_NODISCARD struct acceptor *acceptor_new(struct event_base *base, const char *listen, struct loop **loops,
                                           int loop_count, metric_value *refused);
void acceptor_free(struct acceptor *a);
