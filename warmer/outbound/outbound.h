/* Calls that we dial: the queue's hand in this process, and what the parts of it share. */
#pragma once
#include "warmer/warmer.h"

/* NULL, with a log line, when something cannot be had. Only where a provider is set up (outbound_wanted). */
RF_NODISCARD struct outbound *outbound_new(struct warmer *w);
bool outbound_wanted(const struct warmer_config *config);

/* Takes no more calls from the queue. Accepts NULL. */
void outbound_stop(struct outbound *o);

/* After the Redis connection. Accepts NULL. */
void outbound_free(struct outbound *o);

/* Attempts under way. 0 for NULL. */
size_t outbound_busy(const struct outbound *o);

/* There may be something in the queue. */
void outbound_kick(struct outbound *o);
