#include "worker/worker.h"

#include <stdlib.h>

#include <event2/event.h>

#include "worker/ws/ws_conn.h"

void worker_defer(struct worker *w, struct deferred *d, void (*fn)(void *arg), void *arg)
{
    d->fn = fn;
    d->arg = arg;
    d->next = w->deferred;
    w->deferred = d;
    event_active(w->deferred_event, EV_TIMEOUT, 0);
}

void worker_run_deferred(struct worker *w)
{
    while (w->deferred) {
        struct deferred *d = w->deferred;
        w->deferred = d->next;
        d->fn(d->arg);
    }
}

void worker_unload(struct worker *w)
{
    atomic_fetch_sub_explicit(&w->load, 1, memory_order_relaxed);
}

static void show_calls(struct worker *w)
{
    metric_set(&w->metrics.calls_active, (uint64_t)(w->call_count - w->newcomers));
    metric_set(&w->metrics.newcomers, (uint64_t)w->newcomers);
}

void worker_call_came(struct worker *w)
{
    w->call_count++;
    w->newcomers++;
    show_calls(w);
}

bool worker_call_begins(struct worker *w)
{
    if (!places_take(w->places))
        return false;
    w->newcomers--;
    show_calls(w);
    return true;
}

void worker_call_over(struct worker *w, bool placed)
{
    w->call_count--;
    if (placed)
        places_give(w->places);
    else
        w->newcomers--;
    show_calls(w);
    worker_unload(w);
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

void worker_release(struct worker *w)
{
    while (w->conns)
        ws_abandon(w->conns);
    worker_run_deferred(w);
    if (w->deferred_event)
        event_free(w->deferred_event);
    while (w->spare_count > 0)
        free(w->spares[--w->spare_count]);
    if (w->base)
        event_base_free(w->base);
}
