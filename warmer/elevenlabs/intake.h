/* POST /webhooks/elevenlabs/post-call, at a port of its own: a body may have hundreds of megabytes, which evhttp would
 * hold in memory before anybody sees it. This reads it as it comes (Content-Length or chunked), one request a
 * connection, few connections, each with little time. */
#pragma once
#include "warmer/warmer.h"

struct intake;

/* Listens at once. NULL, with a log line, when the address cannot be had. */
RF_NODISCARD struct intake *intake_new(struct warmer *w);

/* No new connections; those that are under way go on. Accepts NULL, as the others do. */
void intake_stop(struct intake *intake);
size_t intake_busy(const struct intake *intake);

/* After the Redis connection. */
void intake_free(struct intake *intake);
