/* When something that failed is tried again: exponential back-off with jitter. */
#pragma once
#include "common/base/base.h"

/* Zero it: due. Counts failures until something worked; that a connection was had is not enough. */
struct retry {
    int failures;
    int64_t next_ms; /* clock_mono_ms */
};

void retry_later(struct retry *retry);
bool retry_due(const struct retry *retry);
