#include "common/base/headroom.h"

#include <stdlib.h>
#include <sys/mman.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/process.h"

enum {
    RESERVE_BYTES = 16 << 20,
    MORE_BYTES = 4 << 20, /* more than what is under way asks for between two looks */
    LOOK_MS = 100,
    SHORT_AT_LEAST_MS = 1000, /* so that it is not said ten times a second */
};

struct headroom {
    struct event *timer;
    void *reserve; /* NULL: given back, memory is short */
    int64_t short_ms; /* since when */
};

static void *take(size_t bytes)
{
    void *room = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return room == MAP_FAILED ? NULL : room;
}

static void give(void *room, size_t bytes)
{
    if (room)
        munmap(room, bytes);
}

static bool more_to_be_had(void)
{
    void *more = take(MORE_BYTES);
    give(more, MORE_BYTES);
    return more != NULL;
}

static void give_back(struct headroom *h)
{
    give(h->reserve, RESERVE_BYTES);
    h->reserve = NULL;
    h->short_ms = clock_mono_ms();
    metric_set(&process_metrics.memory_short, 1);
    process_count(&process_metrics.memory_shortages);
    log_error(NULL, "memory is short: nothing new is taken, what is under way goes on");
}

static void take_again(struct headroom *h)
{
    if (clock_mono_ms() - h->short_ms < SHORT_AT_LEAST_MS)
        return;
    h->reserve = take(RESERVE_BYTES);
    if (!h->reserve)
        return;
    if (!more_to_be_had()) {
        give(h->reserve, RESERVE_BYTES);
        h->reserve = NULL;
        return;
    }
    metric_set(&process_metrics.memory_short, 0);
    log_info(NULL, "memory is there again", log_int("ms", clock_mono_ms() - h->short_ms));
}

static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct headroom *h = arg;
    (void)fd;
    (void)what;
    if (!h->reserve)
        take_again(h);
    else if (!more_to_be_had())
        give_back(h);
}

struct headroom *headroom_new(struct event_base *base)
{
    struct timeval look = {0, LOOK_MS * 1000};
    struct headroom *h = calloc(1, sizeof *h);
    if (!h)
        return NULL;
    h->reserve = take(RESERVE_BYTES);
    h->timer = event_new(base, -1, EV_PERSIST, on_look, h);
    if (!h->reserve || !h->timer || event_add(h->timer, &look) != 0) {
        log_error(NULL, "cannot start", log_str("error", "out of memory"));
        headroom_free(h);
        return NULL;
    }
    return h;
}

void headroom_free(struct headroom *h)
{
    if (!h)
        return;
    if (h->timer)
        event_free(h->timer);
    give(h->reserve, RESERVE_BYTES);
    free(h);
}

bool headroom_left(void)
{
    return metric_get(&process_metrics.memory_short) == 0;
}
