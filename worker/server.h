/* The door: listens for the carrier's media streams and admits as many as the worker can carry. */
#pragma once
#include "worker/worker.h"

struct server;

/* Listens at once. NULL, with a log line, when the address cannot be had. */
RF_NODISCARD struct server *server_new(struct worker *w);

/* Accepts no more connections; calls go on. Accepts NULL. */
void server_free(struct server *s);
