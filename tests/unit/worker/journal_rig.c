#include "tests/unit/worker/journal_rig.h"

#include <stdio.h>
#include <stdlib.h>

static void on_outcome(void *arg, enum journal_outcome outcome)
{
    ((struct fixture *)arg)->outcome = (int)outcome;
}

static void on_up(void *arg)
{
    struct fixture *f = arg;
    f->up = true;
    if (f->journal.w)
        journal_kick(&f->journal);
}

static void on_down(void *arg)
{
    ((struct fixture *)arg)->up = false;
}

static void on_too_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    *(bool *)arg = true;
}

struct event *too_late_timer(struct event_base *base, bool *late)
{
    struct timeval limit = {20, 0};
    struct event *timer = evtimer_new(base, on_too_late, late);
    event_add(timer, &limit);
    return timer;
}

int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char url[128], error[128];
    f->outcome = -1;
    f->server.durable = true;
    redis_server_start(&f->server, NULL);
    assert_int_equal(redis_url_parse(redis_server_url(&f->server, "redis://127.0.0.1:PORT", url), &f->url, error,
                                     sizeof error), 0);
    f->w = calloc(1, sizeof *f->w);
    f->w->base = event_base_new();
    f->w->id = "w1";
    f->config.lease_seconds = 15;
    f->w->config = &f->config;
    f->w->keys = (struct key_space){"rf", 1};
    f->w->resolver = resolver_new(f->w->base);
    f->w->redis = redis_async_new(&(struct redis_async_spec){.base = f->w->base, .resolver = f->w->resolver,
                                                             .url = &f->url, .name = "test", .on_up = on_up,
                                                             .on_down = on_down, .arg = f});
    wait_until(f, f->up);
    /* what rf_claim leaves: the session at epoch 3 and the owner's entry */
    redis_server_do(&f->server, NULL, "HSET " SESSION " epoch 3 phase live worker w1 stream_sid MZ1");
    redis_server_do(&f->server, NULL, "XADD " WRITES " 3-7 type callsession_update");
    journal_init(&f->journal, f->w, SID, "MZ1", 3, 7, on_outcome, f);
    *state = f;
    return 0;
}

int teardown(void **state)
{
    struct fixture *f = *state;
    journal_release(&f->journal);
    redis_async_free(f->w->redis);
    resolver_free(f->w->resolver);
    event_base_free(f->w->base);
    free(f->w);
    redis_url_release(&f->url);
    redis_server_release(&f->server);
    free(f);
    return 0;
}

redisReply *ask(struct fixture *f, const char *command)
{
    struct redis_refusal why;
    const struct redis_sync_spec spec = {.url = &f->url, .name = "test", .timeout_ms = 5000};
    redisContext *ctx = redis_sync_connect(&spec, &f->url.places[0], &why);
    redisReply *reply;
    assert_non_null(ctx);
    reply = redisCommand(ctx, command);
    assert_non_null(reply);
    redisFree(ctx);
    return reply;
}

void say(struct fixture *f, const char *message)
{
    const char *const values[] = {"caller", message, "", "1", "2", "0"};
    journal_append(&f->journal, JOURNAL_TURN, values);
}

void say_numbered(struct fixture *f, int from, int to)
{
    for (int i = from; i <= to; i++) {
        char message[16];
        snprintf(message, sizeof message, "m%d", i);
        say(f, message);
    }
}
