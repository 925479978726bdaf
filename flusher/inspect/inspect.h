/* Hand tools for people on call: what Redis holds of calls, and what is left to do after them, as tables or JSON. They
 * only look, but for the `replay`, `retry` and `discard` among them. Each returns the program's exit code; errors go to stderr. */
#pragma once
#include "flusher/config.h"
#include "flusher/options.h"

int inspect_calls(const struct flusher_config *config, const struct options *options);
int inspect_show(const struct flusher_config *config, const struct options *options);
int inspect_pending(const struct flusher_config *config, const struct options *options);
int inspect_dead(const struct flusher_config *config, const struct options *options);
int inspect_tail(const struct flusher_config *config, const struct options *options);
int inspect_jobs(const struct flusher_config *config, const struct options *options); /* with a second word */
int inspect_recording(const struct flusher_config *config, const struct options *options);
