#include "common/redis/watch.h"

#include <stdlib.h>

#include <event2/event.h>

/* hiredis asks to be told, and no longer, far more often than either changes. */
struct side {
    struct event *event;
    bool watched;
};

struct watch {
    redisAsyncContext *ctx;
    struct side read, write;
};

static void begin(struct side *side)
{
    if (!side->watched)
        side->watched = event_add(side->event, NULL) == 0;
}

static void end(struct side *side)
{
    if (side->watched)
        event_del(side->event);
    side->watched = false;
}

/* Either may end the connection, and the watch with it. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    (void)fd;
    (void)what;
    redisAsyncHandleRead(watch->ctx);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct watch *watch = arg;
    (void)fd;
    (void)what;
    redisAsyncHandleWrite(watch->ctx);
}

static void add_read(void *arg)
{
    begin(&((struct watch *)arg)->read);
}

static void del_read(void *arg)
{
    end(&((struct watch *)arg)->read);
}

static void add_write(void *arg)
{
    begin(&((struct watch *)arg)->write);
}

static void del_write(void *arg)
{
    end(&((struct watch *)arg)->write);
}

static void clean_up(void *arg)
{
    struct watch *watch = arg;
    if (watch->read.event)
        event_free(watch->read.event);
    if (watch->write.event)
        event_free(watch->write.event);
    free(watch);
}

int redis_watch(redisAsyncContext *ctx, struct event_base *base)
{
    struct watch *watch = calloc(1, sizeof *watch);
    if (!watch)
        return -1;
    watch->ctx = ctx;
    watch->read.event = event_new(base, ctx->c.fd, EV_READ | EV_PERSIST, on_readable, watch);
    watch->write.event = event_new(base, ctx->c.fd, EV_WRITE | EV_PERSIST, on_writable, watch);
    if (!watch->read.event || !watch->write.event) {
        clean_up(watch);
        return -1;
    }
    ctx->ev.data = watch;
    ctx->ev.addRead = add_read;
    ctx->ev.delRead = del_read;
    ctx->ev.addWrite = add_write;
    ctx->ev.delWrite = del_write;
    ctx->ev.cleanup = clean_up;
    begin(&watch->read);
    begin(&watch->write); /* it becomes writable when it is connected */
    return 0;
}
