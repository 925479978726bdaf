/* A Redis command whose asker may be gone by the time the answer comes. */
#pragma once
#include "worker/worker.h"

struct ticket;

/* reply is NULL when the connection was lost: whether Redis did it is unknown. */
typedef void ticket_fn(void *owner, const redisReply *reply);

/* Sends; fn is called once, from the loop, unless the ticket is dropped before. NULL (and no call)
 * while Redis is away. The ticket is gone once fn has been called. */
RF_NODISCARD struct ticket *ticket_send(struct worker *w, ticket_fn *fn, void *owner, int argc, const char **argv);

/* The owner does not want the answer any more. Accepts NULL. */
void ticket_drop(struct ticket *t);
