/* The states, in the order a bad day visits them:
 *
 *   LOADING        the database is asked, the deadline runs
 *   PARTIAL        the first answer is given, of what a call needs at once; the booked times, or the lead that the
 *                  database makes of a stranger, are still to come, and nobody waits for them
 *   SEEKING        the database has failed; Redis is asked for the snapshot
 *   SEEKING_AHEAD  the same while the database is late, all of it or what is to come
 *   LATE           the first answer is given, the database's is still to come
 */
#include "warmer/warm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/redis/context.h"
#include "warmer/snapshot.h"

enum state { LOADING, PARTIAL, SEEKING, SEEKING_AHEAD, LATE };

struct warming {
    enum state state;
    struct warmer *w;
    warm_fn *fn;
    void *arg;
    char *call_sid, *from, *to, *channel, *answered_by;
    bool outbound, recorded, by_id;
    struct context loaded, kept; /* what the database and the snapshot said */
    bool unknown;                /* the database said that nobody has the number */
    bool late;                   /* the deadline has passed */
    struct event *deadline;
    int64_t opened_ms;
};

/* Or its id. */
static const char *business_number(const struct warming *g)
{
    return g->outbound ? g->from : g->to;
}

static void warming_free(struct warming *g)
{
    if (g->deadline)
        event_free(g->deadline);
    context_release(&g->loaded);
    context_release(&g->kept);
    free(g->call_sid);
    free(g->from);
    free(g->to);
    free(g->channel);
    free(g->answered_by);
    free(g);
}

const char *warm_source_name(enum warm_source source)
{
    static const char *const names[] = {[WARM_DATABASE] = CONTEXT_COMPLETE, [WARM_PARTIAL] = CONTEXT_PARTIAL,
                                        [WARM_SNAPSHOT] = "snapshot",       [WARM_MINIMAL] = "minimal",
                                        [WARM_UNKNOWN] = "unknown",         [WARM_NOTHING] = "nothing"};
    return names[source];
}

/* What is there already is not due again. */
static void set(struct warming *g, struct context *c, const char *name, const char *value)
{
    if (strcmp(context_get(c, name), value) == 0 || context_set(c, name, value) == 0)
        return;
    metric_add(&g->w->metrics.fields_dropped, 1);
    log_error(g->call_sid, "no room in the context", log_str("field", name));
}

/* Adds what the warmer itself knows, last, so that no column can stand in for it. */
static void add_own(struct warming *g, struct context *c, enum warm_source source)
{
    char opened[DECIMAL_SIZE];
    decimal_put(opened, g->opened_ms);
    set(g, c, "call_sid", g->call_sid);
    set(g, c, "from", g->from);
    set(g, c, "to", g->to);
    set(g, c, "direction", g->outbound ? "outbound" : "inbound");
    set(g, c, "source", warm_source_name(source));
    set(g, c, "opened_ms", opened);
    if (*g->answered_by)
        set(g, c, "answered_by", g->answered_by);
}

static void count_broken(struct warming *g, int templates)
{
    metric_add(&g->w->metrics.template_errors, (uint64_t)templates);
}

static void complete(struct warming *g, struct context *c, enum warm_source source)
{
    add_own(g, c, source);
    count_broken(g, context_render(c, g->channel, g->opened_ms / 1000));
}

/* Gives the first answer. */
static void answer(struct warming *g, enum warm_source source, struct context *context)
{
    struct warmed warmed = {.source = source, .context = context, .recorded = g->recorded,
                            .more = g->state == SEEKING_AHEAD};
    if (source != WARM_UNKNOWN)
        complete(g, context, source);
    metric_set(&g->w->metrics.database_away, source == WARM_SNAPSHOT || source == WARM_MINIMAL);
    g->state = LATE;
    g->fn(&warmed, g->arg);
    if (!warmed.more)
        warming_free(g);
}

/* The number is what calls will seek the snapshot by. One without its booked times does not replace one that has them. */
static void keep(struct warming *g)
{
    if (!g->by_id && !*context_get(&g->loaded, "booked_slots_missing"))
        snapshot_keep(g->w, business_number(g), &g->loaded);
}

static void answer_from_database(struct warming *g)
{
    if (!g->unknown)
        keep(g);
    answer(g, g->unknown ? WARM_UNKNOWN : WARM_DATABASE, &g->loaded);
}

/* The first answer before all is there; the second one follows from here in any case. */
static void answer_partial(struct warming *g)
{
    const struct warmed warmed = {.source = WARM_PARTIAL, .context = &g->loaded, .recorded = g->recorded, .more = true,
                                  .lent = true};
    add_own(g, &g->loaded, WARM_PARTIAL);
    count_broken(g, context_render_first(&g->loaded, g->channel, g->opened_ms / 1000));
    metric_set(&g->w->metrics.database_away, 0);
    g->state = PARTIAL;
    g->w->partial++;
    g->fn(&warmed, g->arg);
}

static void answer_rest(struct warming *g)
{
    const struct warmed warmed = {.source = WARM_DATABASE, .context = &g->loaded, .recorded = g->recorded,
                                  .late = g->late};
    keep(g);
    add_own(g, &g->loaded, WARM_DATABASE);
    count_broken(g, context_render_rest(&g->loaded, g->channel));
    g->w->partial--;
    g->fn(&warmed, g->arg);
    warming_free(g);
}

static void answer_late(struct warming *g, bool found)
{
    struct warmed warmed = {.source = found ? WARM_DATABASE : WARM_NOTHING, .context = &g->loaded,
                            .recorded = g->recorded, .late = true};
    if (found) {
        keep(g);
        complete(g, &g->loaded, WARM_DATABASE);
    }
    g->fn(&warmed, g->arg);
    warming_free(g);
}

/* The deadline has passed, and the load has answered: what is to come will complete it. */
static void answer_so_far(struct warming *g)
{
    context_release(&g->kept);
    if (context_copy(&g->kept, &g->loaded) != 0)
        metric_add(&g->w->metrics.fields_dropped, 1);
    answer(g, WARM_PARTIAL, &g->kept);
}

/* The database may have answered meanwhile. */
static void on_snapshot(bool found, void *arg)
{
    struct warming *g = arg;
    if (g->state == SEEKING_AHEAD && g->loaded.count > 0)
        answer_so_far(g);
    else if (g->unknown || g->loaded.count > 0)
        answer_from_database(g);
    else
        answer(g, found ? WARM_SNAPSHOT : WARM_MINIMAL, &g->kept);
}

static void seek(struct warming *g, enum state next)
{
    event_del(g->deadline);
    g->state = next;
    if ((g->by_id ? snapshot_seek_business : snapshot_seek)(g->w, business_number(g), &g->kept, on_snapshot, g) != 0)
        on_snapshot(false, g);
}

static void on_loaded(enum load_outcome outcome, bool opened, void *arg)
{
    struct warming *g = arg;
    g->recorded = opened;
    g->unknown = outcome == LOAD_UNKNOWN;
    switch (g->state) {
    case LOADING:
        if (outcome == LOAD_FAILED)
            seek(g, SEEKING);
        else if (outcome == LOAD_FACTS)
            answer_partial(g);
        else
            answer_from_database(g);
        break;
    case PARTIAL:
        answer_rest(g);
        break;
    case SEEKING_AHEAD:
        if (outcome != LOAD_FACTS)
            g->state = SEEKING;
        break;
    case LATE:
        if (outcome != LOAD_FACTS)
            answer_late(g, outcome == LOAD_FOUND);
        break;
    case SEEKING: /* the database was not asked, or has answered */
        break;
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct warming *g = arg;
    (void)fd;
    (void)what;
    metric_add(&g->w->metrics.load_late, 1);
    g->late = true;
    if (g->state == PARTIAL) /* nobody waits */
        return;
    if (g->loaded.count > 0) {
        g->state = SEEKING_AHEAD;
        answer_so_far(g);
    } else {
        seek(g, SEEKING_AHEAD); /* the deadline is armed in LOADING and PARTIAL only */
    }
}

static struct warming *warming_new(struct warmer *w, const struct warm_call *call, warm_fn *fn, void *arg)
{
    struct warming *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->w = w;
    g->fn = fn;
    g->arg = arg;
    g->outbound = strcmp(call->load.direction, "outbound") == 0;
    g->by_id = call->by_id;
    g->opened_ms = clock_wall_ms();
    g->call_sid = strdup(call->load.call_sid);
    g->from = strdup(call->load.from);
    g->to = strdup(call->load.to);
    g->channel = strdup(call->channel);
    g->answered_by = strdup(call->answered_by);
    g->deadline = evtimer_new(w->base, on_deadline, g);
    if (g->call_sid && g->from && g->to && g->channel && g->answered_by && g->deadline)
        return g;
    warming_free(g);
    return NULL;
}

int warm(struct warmer *w, const struct warm_call *call, warm_fn *fn, void *arg)
{
    struct timeval tv = warmer_deadline(w);
    struct warming *g = warming_new(w, call, fn, arg);
    if (!g)
        return -1;
    if (load_call(w->loads, &call->load, &g->loaded, on_loaded, g) != 0) {
        seek(g, SEEKING);
    } else {
        g->state = LOADING;
        evtimer_add(g->deadline, &tv);
    }
    return 0;
}
