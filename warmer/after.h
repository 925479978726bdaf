/* The URL that the carrier asks once stream n of a call has ended. */
#pragma once
#include "warmer/warmer.h"

/* Absolute, with the carrier's own overrides in the fragment: short waits and retries, so that a
 * warmer that dies does not end a call. */
void after_action(char *out, size_t size, const struct warmer_config *config, int n);
