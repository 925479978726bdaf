/* Hand tools for people on call: what Redis holds of calls, as tables or JSON. They only look, but for
 * `dead replay` and `dead discard`. Each returns the program's exit code; errors go to stderr. */
#pragma once
#include "flusher/config.h"
#include "flusher/options.h"

int inspect_calls(const struct flusher_config *config, const struct options *options);
int inspect_show(const struct flusher_config *config, const struct options *options);
int inspect_pending(const struct flusher_config *config, const struct options *options);
int inspect_dead(const struct flusher_config *config, const struct options *options);
int inspect_tail(const struct flusher_config *config, const struct options *options);
