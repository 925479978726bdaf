#include "worker/worker.h"

#include <stdlib.h>

#include <event2/event.h>

void worker_defer(struct worker *w, struct deferred *d, void (*fn)(void *arg), void *arg)
{
    d->fn = fn;
    d->arg = arg;
    d->next = w->deferred;
    w->deferred = d;
    event_active(w->deferred_event, EV_TIMEOUT, 0);
}

uint8_t *worker_take_buffer(struct worker *w, size_t *size)
{
    if (*size > WORKER_SPARE_BYTES)
        return malloc(*size);
    *size = WORKER_SPARE_BYTES;
    return w->spare_count > 0 ? w->spares[--w->spare_count] : malloc(WORKER_SPARE_BYTES);
}

void worker_give_buffer(struct worker *w, uint8_t *buffer, size_t size)
{
    if (buffer && size == WORKER_SPARE_BYTES && w->spare_count < WORKER_SPARES)
        w->spares[w->spare_count++] = buffer;
    else
        free(buffer);
}
