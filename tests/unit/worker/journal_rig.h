/* A journal (of call CA1, claimed at epoch 3 with seq 7) on a real redis-server that dies, refuses and forgets. */
#pragma once
#include "tests/unit/unit.h"

#include <event2/event.h>

#include "common/redis/sync.h"
#include "tests/unit/common/redis_server.h"
#include "worker/journal/journal.h"

#define SID "CA1"
#define SESSION "rf:{p0}:call:" SID ":session"
#define WRITES "rf:{p0}:call:" SID ":writes"

struct fixture {
    struct redis_server server;
    struct redis_url url;
    struct worker *w;
    struct worker_config config;
    struct journal journal;
    int outcome; /* -1: none yet */
    bool up;
};

/* cmocka's: *state is the fixture. */
int setup(void **state);
int teardown(void **state);

/* Turns the loop for 20 s at most; a test that needs them has failed. */
#define wait_until(f, condition)                                                                 \
    do {                                                                                         \
        bool late = false;                                                                       \
        struct event *timer = too_late_timer((f)->w->base, &late);                               \
        while (!(condition) && !late)                                                            \
            event_base_loop((f)->w->base, EVLOOP_ONCE);                                          \
        event_free(timer);                                                                       \
        if (late)                                                                                \
            fail_msg("waited in vain for " #condition);                                          \
    } while (0)

struct event *too_late_timer(struct event_base *base, bool *late);

/* One command from outside. To be freed. */
redisReply *ask(struct fixture *f, const char *command);

void say(struct fixture *f, const char *message);
void say_numbered(struct fixture *f, int from, int to); /* "m8", "m9", ... */
