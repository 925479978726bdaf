#include "flusher/retry.h"

#include <stdlib.h>

#include "common/base/clock.h"

enum { FIRST_MS = 100, LAST_MS = 10000 };

void retry_later(struct retry *retry)
{
    int64_t delay = FIRST_MS;
    for (int i = 0; i < retry->failures && delay < LAST_MS; i++)
        delay *= 2;
    delay = delay < LAST_MS ? delay : LAST_MS;
    retry->failures++;
    retry->next_ms = clock_mono_ms() + delay / 2 + random() % (delay / 2 + 1);
}

bool retry_due(const struct retry *retry)
{
    return clock_mono_ms() >= retry->next_ms;
}
