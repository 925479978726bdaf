/* The URL that the carrier asks once stream n of a call has ended, and the document that starts one. */
#pragma once
#include "warmer/twiml.h"
#include "warmer/warmer.h"

/* Connects stream n of a call, after a wait. Its action URL is absolute, with the carrier's own overrides in the
 * fragment: short waits and retries, so that a warmer that dies does not end a call. call_sid: of a call that we
 * dialled; else NULL. */
void after_stream(struct twiml *out, const struct warmer_config *config, int n, const char *token,
                  const char *call_sid, struct twiml_wait wait);
