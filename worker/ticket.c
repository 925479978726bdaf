#include "worker/ticket.h"

#include <stdlib.h>

struct ticket {
    struct worker *w;
    ticket_fn *fn; /* NULL once dropped */
    void *owner;
};

static void on_reply(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct ticket *t = arg;
    (void)ctx;
    t->w->tickets--;
    if (t->fn)
        t->fn(t->owner, reply);
    free(t);
}

struct ticket *ticket_send(struct worker *w, ticket_fn *fn, void *owner, int argc, const char **argv)
{
    struct ticket *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->w = w;
    t->fn = fn;
    t->owner = owner;
    w->tickets++;
    if (redis_async_send(w->redis, on_reply, t, argc, argv, NULL) == 0)
        return t;
    w->tickets--;
    free(t);
    return NULL;
}

void ticket_drop(struct ticket *t)
{
    if (t)
        t->fn = NULL;
}
