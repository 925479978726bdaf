#include "common/redis/router.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/link.h"
#include "common/redis/topology.h"

enum {
    WAITING_MAX = 4096,     /* commands that wait for their node: one per call, and the warmer's questions */
    PATIENCE_MS = 3000,     /* how long a command is sent on and held back before its asker gets the error */
    HOPS_MAX = 16,          /* redirects of one command */
    LATER_MS = 20,          /* pause of a command that came while the cluster was changing */
    TICK_MS = 20,           /* while something waits */
    UNSETTLED_MS = 100,     /* between two looks at the map while a part is missing, */
    SETTLED_MS = 10000,     /* and while none is */
    TEND_MS = 1000,         /* between two ticks while nothing is amiss */
    RETIRE_MS = 10000,      /* a node that has lost its slots may still answer */
    BEGIN_MS = 3000,        /* a cluster that is not whole by then serves with what there is */
};

struct node {
    struct redis_router *router;
    struct redis_link *link; /* NULL: none is needed */
    int64_t idle_since_ms;   /* it has no slots since then; 0: it has */
};

/* A command under way: kept as it stands on the wire, to be sent on. */
struct command {
    struct redis_router *router;
    struct command *next; /* in the queue of those that wait */
    redisCallbackFn *fn;
    void *arg;
    char *text; /* hiredis' */
    size_t len;
    int slot;
    int at;     /* the node that has it */
    int asking; /* the node that ASK named; TOPOLOGY_NOBODY: whoever has the slot */
    int hops;
    int64_t due_ms, give_up_ms; /* give_up 0: it was not sent on yet */
};

struct redis_router {
    struct redis_async_spec spec;
    struct redis_link *door;
    struct topology map;
    struct node nodes[TOPOLOGY_NODES]; /* by the numbers of the map */
    struct command *waiting, **waiting_end;
    int waiting_count;
    struct event *timer;
    int64_t fires_ms; /* when the timer does */
    int64_t began_ms;
    int64_t asked_ms; /* when the map was asked for last */
    int turn;         /* the nodes are asked in turn: one may be behind */
    bool asking;
    bool map_doubted;
    bool told_up, freeing;
};

/* -- nodes --------------------------------------------------------------------------------------- */

static bool node_up(const struct redis_router *r, int node)
{
    return node != TOPOLOGY_NOBODY && r->nodes[node].link && redis_link_up(r->nodes[node].link);
}

bool redis_router_whole(const struct redis_router *r)
{
    bool whole = topology_whole(&r->map);
    for (int i = 0; i < r->map.count && whole; i++)
        whole = r->map.nodes[i].slots == 0 || node_up(r, i);
    return whole;
}

static int any_up(const struct redis_router *r, int from)
{
    for (int i = 0; i < r->map.count; i++) {
        int node = (from + i) % r->map.count;
        if (r->map.nodes[node].slots > 0 && node_up(r, node))
            return node;
    }
    return TOPOLOGY_NOBODY;
}

bool redis_router_up(const struct redis_router *r)
{
    return r->told_up && any_up(r, 0) != TOPOLOGY_NOBODY;
}

static bool settled(const struct redis_router *r)
{
    return !r->map_doubted && redis_router_whole(r);
}

/* Never later than it was to fire: what keeps coming does not put it off. */
static void arm(struct redis_router *r)
{
    int ms = r->waiting ? TICK_MS : settled(r) ? TEND_MS : UNSETTLED_MS;
    struct timeval tv = {ms / 1000, ms % 1000 * 1000};
    int64_t fires = clock_mono_ms() + ms;
    if (evtimer_pending(r->timer, NULL) && r->fires_ms <= fires)
        return;
    r->fires_ms = fires;
    evtimer_add(r->timer, &tv);
}

static void tell_up(struct redis_router *r)
{
    bool late = clock_mono_ms() - r->began_ms > BEGIN_MS && any_up(r, 0) != TOPOLOGY_NOBODY;
    if (!r->told_up && !late && !redis_router_whole(r))
        return;
    r->told_up = true;
    if (r->spec.on_up)
        r->spec.on_up(r->spec.arg);
}

static void pump(struct redis_router *r);

static void on_node_up(void *arg)
{
    struct node *node = arg;
    pump(node->router);
    tell_up(node->router);
}

static void on_node_down(void *arg)
{
    struct node *node = arg;
    struct redis_router *r = node->router;
    r->map_doubted = true;
    arm(r);
    if (r->told_up && r->spec.on_down && !node->idle_since_ms)
        r->spec.on_down(r->spec.arg);
}

static void on_misfit(void *arg)
{
    struct redis_router *r = ((struct node *)arg)->router;
    if (!r->told_up && r->spec.on_misfit)
        r->spec.on_misfit(r->spec.arg);
}

static void open_link(struct redis_router *r, int number)
{
    struct node *node = &r->nodes[number];
    const struct redis_link_spec spec = {.base = r->spec.base, .resolver = r->spec.resolver, .url = r->spec.url,
                                         .place = &r->map.nodes[number].place, .name = r->spec.name,
                                         .on_up = on_node_up, .on_down = on_node_down, .keys = r->spec.keys,
                                         .on_misfit = on_misfit, .arg = node};
    if (!node->link)
        node->link = redis_link_new(&spec); /* NULL: out of memory, the next look at the map tries again */
}

/* Links to those that have slots. */
static void tend_nodes(struct redis_router *r)
{
    for (int i = 0; i < r->map.count; i++) {
        if (r->map.nodes[i].slots == 0) {
            r->nodes[i].idle_since_ms = r->nodes[i].idle_since_ms ? r->nodes[i].idle_since_ms : clock_mono_ms();
            continue;
        }
        r->nodes[i].idle_since_ms = 0;
        open_link(r, i);
    }
}

static void retire_nodes(struct redis_router *r)
{
    int64_t before = clock_mono_ms() - RETIRE_MS;
    for (int i = r->map.count - 1; i >= 0 && !r->waiting; i--) {
        if (r->map.nodes[i].slots > 0 || !r->nodes[i].idle_since_ms || r->nodes[i].idle_since_ms > before)
            continue;
        redis_link_free(r->nodes[i].link);
        r->nodes[i].link = NULL;
        r->nodes[i].idle_since_ms = 0;
        topology_forget(&r->map, i);
    }
}

/* -- the map --------------------------------------------------------------------------------------- */

static void on_slots(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct redis_router *r = arg;
    const struct redis_link *answered = ctx->data;
    bool was_whole = redis_router_whole(r);
    r->asking = false;
    if (!reply || r->freeing || !answered || !topology_take(&r->map, reply, redis_link_place(answered)))
        return;
    r->map_doubted = false;
    tend_nodes(r);
    pump(r);
    if (!was_whole && any_up(r, 0) != TOPOLOGY_NOBODY)
        tell_up(r);
}

static void ask_map(struct redis_router *r)
{
    const char *argv[] = {"CLUSTER", "SLOTS"};
    int node = any_up(r, r->turn = (r->turn + 1) % TOPOLOGY_NODES);
    struct redis_link *link = node != TOPOLOGY_NOBODY ? r->nodes[node].link : r->door;
    r->asked_ms = clock_mono_ms();
    r->asking = redis_link_send(link, on_slots, r, (int)ARRAY_LEN(argv), argv, NULL) == 0;
}

void redis_router_door_up(struct redis_router *r)
{
    if (!r->asking)
        ask_map(r);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    struct redis_router *r = arg;
    int64_t since = clock_mono_ms() - r->asked_ms;
    (void)fd;
    (void)what;
    pump(r);
    retire_nodes(r);
    if (!r->told_up)
        tell_up(r);
    if (!r->asking && since >= (settled(r) ? SETTLED_MS : UNSETTLED_MS))
        ask_map(r);
    arm(r);
}

/* -- commands -------------------------------------------------------------------------------------- */

static void command_free(struct command *c)
{
    redisFreeCommand(c->text);
    free(c);
}

static void finish(struct command *c, redisAsyncContext *ctx, void *reply)
{
    redisCallbackFn *fn = c->fn;
    void *arg = c->arg;
    command_free(c);
    if (fn)
        fn(ctx, reply, arg);
}

static void on_reply(redisAsyncContext *ctx, void *reply, void *arg);

static bool hand_over(struct command *c, int node)
{
    static const char asking[] = "*1\r\n$6\r\nASKING\r\n";
    struct redis_link *link = c->router->nodes[node].link;
    c->at = node;
    return (node != c->asking || redis_link_send_text(link, NULL, NULL, asking, sizeof asking - 1) == 0) &&
           redis_link_send_text(link, on_reply, c, c->text, c->len) == 0;
}

static void wait_for_node(struct command *c)
{
    struct redis_router *r = c->router;
    c->next = NULL;
    *r->waiting_end = c;
    r->waiting_end = &c->next;
    r->waiting_count++;
    arm(r);
}

/* It was never carried out: whoever asked may do so again. */
static void give_up(struct command *c)
{
    static char text[] = "CLUSTERDOWN no node took the command in time";
    static redisReply reply = {.type = REDIS_REPLY_ERROR, .str = text, .len = sizeof text - 1};
    finish(c, NULL, &reply);
}

static void pump(struct redis_router *r)
{
    struct command *next, *c = r->waiting;
    int64_t now = clock_mono_ms();
    r->waiting = NULL;
    r->waiting_end = &r->waiting;
    r->waiting_count = 0;
    for (; c; c = next) {
        int node = c->asking != TOPOLOGY_NOBODY ? c->asking : topology_owner(&r->map, c->slot);
        next = c->next;
        if (now >= c->give_up_ms)
            give_up(c);
        else if (now < c->due_ms || !node_up(r, node) || !hand_over(c, node))
            wait_for_node(c);
    }
}

/* A host that is not named is the one that answered. */
static int node_named(struct redis_router *r, const struct command *c, const struct redirect *to)
{
    struct redis_place place = to->to;
    if (!*place.host)
        memcpy(place.host, r->map.nodes[c->at].place.host, sizeof place.host);
    return to->kind == REDIRECT_MOVED ? topology_move(&r->map, to->slot, &place) : topology_node(&r->map, &place);
}

/* False: the asker gets the error. */
static bool again(struct command *c, const struct redirect *to)
{
    struct redis_router *r = c->router;
    int64_t now = clock_mono_ms();
    int node = TOPOLOGY_NOBODY;
    if (!c->give_up_ms)
        c->give_up_ms = now + PATIENCE_MS;
    if (r->freeing || now >= c->give_up_ms || r->waiting_count == WAITING_MAX)
        return false;
    c->asking = TOPOLOGY_NOBODY;
    c->due_ms = now;
    if (to->kind == REDIRECT_LATER) {
        c->due_ms += LATER_MS;
    } else {
        node = c->hops++ < HOPS_MAX ? node_named(r, c, to) : TOPOLOGY_NOBODY;
        if (node == TOPOLOGY_NOBODY)
            return false;
        c->asking = to->kind == REDIRECT_ASK ? node : TOPOLOGY_NOBODY;
        tend_nodes(r);
        open_link(r, node);
    }
    r->map_doubted = r->map_doubted || to->kind != REDIRECT_ASK;
    if (r->spec.redirects)
        metric_add(r->spec.redirects, 1);
    arm(r);
    if (!node_up(r, node) || !hand_over(c, node))
        wait_for_node(c);
    return true;
}

static void on_reply(redisAsyncContext *ctx, void *reply, void *arg)
{
    struct command *c = arg;
    const redisReply *answer = reply;
    struct redirect to = {.kind = REDIRECT_NONE};
    if (answer && answer->type == REDIS_REPLY_ERROR)
        to = redirect_parse(answer->str);
    if (to.kind == REDIRECT_NONE || !again(c, &to))
        finish(c, ctx, reply);
}

int redis_router_send(struct redis_router *r, redisCallbackFn *fn, void *arg, int argc, const char **argv,
                      const size_t *lens)
{
    int key = redis_command_key(argc, argv);
    int slot = key < 0 ? 0 : redis_slot(argv[key], lens ? lens[key] : strlen(argv[key])), len;
    int node = key < 0 ? any_up(r, 0) : topology_owner(&r->map, slot);
    struct command *c = node_up(r, node) ? calloc(1, sizeof *c) : NULL;
    if (!c)
        return -1;
    *c = (struct command){.router = r, .fn = fn, .arg = arg, .slot = slot, .asking = TOPOLOGY_NOBODY};
    len = redisFormatCommandArgv(&c->text, argc, argv, lens);
    c->len = len > 0 ? (size_t)len : 0;
    if (len > 0 && hand_over(c, node))
        return 0;
    command_free(c);
    return -1;
}

/* -- life ------------------------------------------------------------------------------------------ */

struct redis_router *redis_router_new(const struct redis_async_spec *spec, struct redis_link *door)
{
    struct redis_router *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->spec = *spec;
    r->door = door;
    r->began_ms = clock_mono_ms();
    r->waiting_end = &r->waiting;
    r->timer = evtimer_new(spec->base, on_timer, r);
    if (!r->timer) {
        free(r);
        return NULL;
    }
    for (int i = 0; i < TOPOLOGY_NODES; i++)
        r->nodes[i].router = r;
    arm(r);
    if (spec->keys && spec->keys->partitions == 1)
        log_warn(NULL, TOPOLOGY_ONE_PARTITION);
    return r;
}

void redis_router_free(struct redis_router *r)
{
    struct command *next, *c;
    if (!r)
        return;
    r->freeing = true;
    for (int i = 0; i < r->map.count; i++) {
        struct redis_link *link = r->nodes[i].link;
        r->nodes[i].link = NULL; /* a callback that sends again is refused */
        redis_link_free(link);
    }
    c = r->waiting;
    r->waiting = NULL;
    for (; c; c = next) {
        next = c->next;
        finish(c, NULL, NULL);
    }
    event_free(r->timer);
    free(r);
}
