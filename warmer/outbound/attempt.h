/* One attempt at one call: warm its context, open it in Redis, ask the provider to dial; or look whether an attempt
 * without an answer has dialled; or ask how a call goes that nothing was heard of.
 *
 * What goes wrong is never lost: the call goes back to the queue, or is recorded as failed with the reason; and if
 * this process dies the queue hands it to another warmer, which looks before it dials. */
#pragma once
#include <jansson.h>

#include "warmer/warmer.h"

struct attempts;

RF_NODISCARD struct attempts *attempts_new(struct warmer *w);

/* Those whose provider was asked are let go of. Accepts NULL. */
void attempts_free(struct attempts *all);

size_t attempts_count(const struct attempts *all);

/* The job is taken over. */
void attempt_dial(struct attempts *all, const char *sid, json_t *job);
void attempt_look_after(struct attempts *all, const char *sid, json_t *job);
