/* A loop's door: connections that have not sent their request yet, and who is admitted as a call. */
#pragma once
#include "worker/worker.h"

struct server;

enum {
    SERVER_GUESTS_MAX = 256,    /* connections of a loop that may wait before their request */
    SERVER_NEWCOMERS_MAX = 256, /* and streams that may wait before their start */
};

RF_NODISCARD struct server *server_new(struct worker *w);

/* Takes over an accepted, non-blocking descriptor; the acceptor has counted it in w->load. A
 * connection that does not become a call within WS_HANDSHAKE_SECONDS is closed. Past the bound the
 * one that has waited longest goes: who has a request sends it at once, who has none takes nobody's
 * place for long. */
void server_take(struct server *s, int fd);

/* Closes the connections that wait; calls are not touched. Accepts NULL. */
void server_free(struct server *s);
