/* Keeps what a provider says of a conversation that is over, once however often it says so. */
#pragma once
#include "warmer/elevenlabs/report.h"
#include "warmer/warmer.h"

enum told_result { TOLD_KEPT, TOLD_AGAIN, TOLD_UNKNOWN /* no call of ours */, TOLD_FAILED /* Redis */ };

typedef void told_fn(enum told_result result, void *arg);

/* The report is copied as far as it is needed. fn is called exactly once, perhaps from inside; may be NULL. */
void told_keep(struct warmer *w, const struct report *report, told_fn *fn, void *arg);
