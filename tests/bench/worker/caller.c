/* The carrier's side of many calls, as Twilio's media streams are (1.0.0): connected, start, 50 frames a
 * second, marks that are answered when what was sent before them has played, clear, stop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/bench/worker/load.h"
#include "worker/jscan.h"

enum { MARKS = 256, MARK_SIZE = 64, SID_SIZE = 64, TOKEN_CHARS = 160, NS_PER_BYTE = 125000, BYE_S = 5, LOOK_FRAMES = 4 };

struct mark {
    int64_t due_ns;
    char name[MARK_SIZE];
};

struct caller {
    struct link *link; /* NULL when it is gone */
    struct caller *next; /* of its slot */
    struct caller *newer;
    const char *sid, *token;
    char stream_sid[SID_SIZE];
    bool listed; /* among those that are not ended */
    bool open, over, heard;
    bool timed; /* its echoes are read as they come, and their times count */
    uint32_t sent;       /* frames, numbered from 1 */
    uint32_t expected;   /* number of the next echo; 0: none has come */
    int64_t echo_ns;     /* stamp of the last echo, whose time has not been taken yet; 0: none */
    uint32_t window_sent;
    uint64_t sequence;
    int64_t started_ns, over_ns;
    int64_t plays_until_ns; /* what we were sent */
    struct mark *marks;  /* that wait, a ring */
    unsigned first_mark, mark_count;
};

static struct {
    char *text, *next_line;
    struct caller *slots[SLOTS];
    struct caller *oldest, *newest;
    int begun, count; /* count: of these, that were not ended */
    int slot, next_slot;
    int64_t turn_ns; /* when the slot at hand is due */
    char noise[FRAME_CHARS + 1];
} all;

static void build_noise(void)
{
    memset(all.noise, 'f', FRAME_CHARS);
    memcpy(all.noise + FRAME_CHARS - 4, "fg==", 4);
}

void callers_init(void)
{
    FILE *file = fopen(load.options.calls_file, "r");
    size_t size = 0;
    if (!file || getdelim(&all.text, &size, '\0', file) <= 0)
        die("the file of calls");
    fclose(file);
    all.next_line = all.text;
    build_noise();
}

static bool next_call(const char **sid, const char **token)
{
    char *line = all.next_line, *space = strchr(line, ' '), *end = strchr(line, '\n');
    if (!space || !end)
        return false;
    *space = *end = '\0';
    *sid = line;
    *token = space + 1;
    all.next_line = end + 1;
    return true;
}

bool callers_out(void)
{
    return !*all.next_line;
}

int callers_count(void)
{
    return all.count;
}

/* ---- what the server sends ---- */

/* late_ns: what it was held for the next one beyond the 20 ms, because the load was late with that one. */
static void time_echo(struct caller *c, int64_t late_ns)
{
    if (load.measuring && c->timed && c->echo_ns)
        spread_add(&load.figures.round_trip, (load.loop.came_ns - c->echo_ns - (late_ns > 0 ? late_ns : 0)) / 1000);
    c->echo_ns = 0;
}

static void on_echo(void *arg, struct stamp *stamp)
{
    struct caller *c = arg;
    if (stamp->n == NO_STAMP)
        return;
    if (load.options.profile == PROFILE_REAL) {
        if (load.measuring)
            spread_add(&load.figures.down, (load.loop.came_ns - stamp->ns) / 1000);
        return;
    }
    time_echo(c, stamp->ns - c->echo_ns - FRAME_NS * load.options.slower);
    c->echo_ns = stamp->ns;
    if (c->expected == 0)
        c->expected = stamp->n;
    if (stamp->n != c->expected)
        fault("a frame is missing, doubled or out of order", c->sid, strlen(c->sid));
    c->expected = stamp->n + 1;
    load.figures.frames_echoed += load.measuring;
}

static void on_media(struct caller *c, const struct jscan_value *media)
{
    struct jscan s = jscan_open(media->at, media->len);
    struct jscan_value key, value, payload = {.kind = JSCAN_NULL};
    ptrdiff_t bytes;
    size_t place = 0;
    int64_t now = load.loop.came_ns;
    while (jscan_member(&s, &key, &value)) {
        if (!jscan_is(&key, "payload"))
            fault("media has more than a payload", media->at, media->len);
        payload = value;
    }
    bytes = payload.kind == JSCAN_STRING && !payload.escaped
                ? stamp_each((char *)(uintptr_t)payload.at, payload.len, &place, on_echo, c) : -1;
    time_echo(c, 0);
    if (bytes <= 0) {
        fault("payload is not base64", media->at, media->len);
        return;
    }
    if (!c->heard) {
        c->heard = true;
        load.figures.greeted += load.measuring;
        if (load.measuring)
            spread_add(&load.figures.greeting, (now - c->started_ns) / 1000);
        load.live++;
    }
    c->plays_until_ns = (c->plays_until_ns > now ? c->plays_until_ns : now) + bytes * NS_PER_BYTE;
    load.figures.frames_back += load.measuring;
}

static void on_mark(struct caller *c, const struct jscan_value *body)
{
    struct jscan s = jscan_open(body->at, body->len);
    struct jscan_value key, value;
    struct mark *mark;
    if (!c->marks)
        c->marks = calloc(MARKS, sizeof *c->marks);
    if (!c->marks || c->mark_count == MARKS)
        die("more marks than the bench keeps");
    mark = &c->marks[(c->first_mark + c->mark_count) % MARKS];
    mark->name[0] = '\0';
    while (jscan_member(&s, &key, &value)) {
        if (!jscan_is(&key, "name") || !jscan_copy(&value, mark->name, sizeof mark->name))
            fault("mark has more than a short name", body->at, body->len);
    }
    if (!*mark->name)
        fault("a mark without a name", body->at, body->len);
    mark->due_ns = c->plays_until_ns;
    c->mark_count++;
    load.figures.marks += load.measuring;
}

static void on_clear(struct caller *c)
{
    c->plays_until_ns = 0;
    for (unsigned i = 0; i < c->mark_count; i++)
        c->marks[(c->first_mark + i) % MARKS].due_ns = 0;
    load.figures.barged_in += load.measuring;
}

static bool same_text(const struct jscan_value *a, const struct jscan_value *b)
{
    return a->len == b->len && memcmp(a->at, b->at, a->len) == 0;
}

static void on_text(struct link *l, char *text, size_t len, void *arg)
{
    struct caller *c = arg;
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value, event = {.kind = JSCAN_NULL}, body = {.kind = JSCAN_NULL}, stream = event;
    (void)l;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "event"))
            event = value;
        else if (jscan_is(&key, "streamSid"))
            stream = value;
        else if (body.kind == JSCAN_NULL && value.kind == JSCAN_OBJECT && same_text(&key, &event))
            body = value;
        else
            fault("31951: more than there may be", text, len);
    }
    if (!jscan_ok(&s) || !jscan_is(&stream, c->stream_sid))
        fault("31951: not JSON, or of another stream", text, len);
    else if (jscan_is(&event, "media") && body.kind == JSCAN_OBJECT)
        on_media(c, &body);
    else if (jscan_is(&event, "mark") && body.kind == JSCAN_OBJECT)
        on_mark(c, &body);
    else if (jscan_is(&event, "clear") && body.kind == JSCAN_NULL)
        on_clear(c);
    else
        fault("31951: no such event", text, len);
}

/* ---- what the caller does ---- */

static void on_open(struct link *l, void *arg)
{
    static const char connected[] = "{\"event\":\"connected\",\"protocol\":\"Call\",\"version\":\"1.0.0\"}";
    struct caller *c = arg;
    int n;
    memcpy(link_room(l), connected, sizeof connected - 1);
    link_put(l, sizeof connected - 1);
    n = sprintf(link_room(l),
                "{\"event\":\"start\",\"sequenceNumber\":\"%d\",\"start\":{\"accountSid\":\"AC0\",\"streamSid\":\"%s\","
                "\"callSid\":\"%s\",\"tracks\":[\"inbound\"],\"mediaFormat\":{\"encoding\":\"audio/x-mulaw\","
                "\"sampleRate\":8000,\"channels\":1},\"customParameters\":{\"token\":\"%s\"}},\"streamSid\":\"%s\"}",
                1, c->stream_sid, c->sid, c->token, c->stream_sid);
    link_put(l, (size_t)n);
    link_flush(l);
    c->sequence = 1;
    c->open = true;
    c->started_ns = wall_ns();
}

static void gone(struct caller *c)
{
    load.live -= c->heard;
    c->heard = false;
    c->link = NULL;
}

static void on_closed(struct link *l, const char *why, void *arg)
{
    struct caller *c = arg;
    (void)l;
    if (!c->over) {
        fault("the server ended a call", why, strlen(why));
        c->over = true;
        all.count--;
    }
    load.figures.ended += load.measuring;
    gone(c);
}

static const struct link_events events = {on_open, on_text, on_closed};

static bool begin_call(void)
{
    struct caller *c = calloc(1, sizeof *c);
    /* 123 and 200 have no common divisor: places are spread evenly, however few there are */
    int slot = load.options.burst ? 0 : (all.next_slot = (all.next_slot + 123) % SLOTS);
    if (!c)
        die("memory");
    if (!next_call(&c->sid, &c->token)) {
        free(c);
        return false;
    }
    snprintf(c->stream_sid, sizeof c->stream_sid, "MZ%.60s", c->sid + 2);
    c->next = all.slots[slot];
    all.slots[slot] = c;
    *(all.newest ? &all.newest->newer : &all.oldest) = c;
    all.newest = c;
    all.count++;
    c->listed = true;
    c->timed = load.options.profile == PROFILE_REAL || all.begun++ % load.options.timed_of == 0;
    c->link = link_dial(&load.loop, load.options.server_port, "/media", "X-Twilio-Signature: none\r\n", &events, c);
    return true;
}

static void end_call(struct caller *c)
{
    int n;
    c->over = true;
    c->over_ns = mono_ns();
    all.count--;
    if (!c->open) {
        link_close(c->link);
        gone(c);
    }
    if (!c->link)
        return;
    n = sprintf(link_room(c->link),
                "{\"event\":\"stop\",\"sequenceNumber\":\"%llu\",\"stop\":{\"accountSid\":\"AC0\",\"callSid\":\"%s\"},"
                "\"streamSid\":\"%s\"}", (unsigned long long)++c->sequence, c->sid, c->stream_sid);
    link_put(c->link, (size_t)n);
    link_flush(c->link);
    link_rewatch(c->link);
}

static void end_oldest(void)
{
    struct caller *c = all.oldest;
    all.oldest = c->newer;
    if (!all.oldest)
        all.newest = NULL;
    c->listed = false;
    if (!c->over)
        end_call(c);
}

void callers_end_all(void)
{
    while (all.oldest)
        end_oldest();
}

static void put_mark(struct caller *c)
{
    int n = sprintf(link_room(c->link), "{\"event\":\"mark\",\"sequenceNumber\":\"%llu\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%s\"}}",
                    (unsigned long long)++c->sequence, c->stream_sid, c->marks[c->first_mark].name);
    link_put(c->link, (size_t)n);
    c->first_mark = (c->first_mark + 1) % MARKS;
    c->mark_count--;
}

static char *put(char *at, const char *text)
{
    size_t n = strlen(text);
    memcpy(at, text, n);
    return at + n;
}

static char *put_number(char *at, uint64_t number)
{
    char digits[24], *first = digits + sizeof digits;
    do
        *--first = (char)('0' + number % 10);
    while (number /= 10);
    memcpy(at, first, (size_t)(digits + sizeof digits - first));
    return at + (digits + sizeof digits - first);
}

static void put_frame(struct caller *c)
{
    char *room = link_room(c->link), *at = room;
    c->sent++;
    at = put(at, "{\"event\":\"media\",\"sequenceNumber\":\"");
    at = put_number(at, ++c->sequence);
    at = put(at, "\",\"media\":{\"track\":\"inbound\",\"chunk\":\"");
    at = put_number(at, c->sent);
    at = put(at, "\",\"timestamp\":\"");
    at = put_number(at, c->sent * 20u);
    at = put(at, "\",\"payload\":\"");
    memcpy(at, all.noise, FRAME_CHARS);
    stamp_put(at, (struct stamp){wall_ns(), c->sent});
    at = put(at + FRAME_CHARS, "\"},\"streamSid\":\"");
    at = put(at, c->stream_sid);
    at = put(at, "\"}");
    link_put(c->link, (size_t)(at - room));
}

/* Not every call's echoes are read as they come: that costs the load more than it tells. */
static void look(struct caller *c)
{
    link_unwatch(c->link);
    link_look(c->link);
}

static void tick(struct caller *c, int64_t due_ns)
{
    int64_t now = mono_ns();
    while (c->mark_count > 0 && c->marks[c->first_mark].due_ns <= load.loop.woke_ns)
        put_mark(c);
    put_frame(c);
    link_flush(c->link);
    if (c->heard && !c->timed && c->sent % LOOK_FRAMES == 0)
        look(c);
    if (c->over || !load.measuring)
        return;
    load.figures.frames_sent++;
    spread_add(&load.figures.late, (now - due_ns) / 1000);
}

/* The members of one slot; those that have gone leave it. */
static void tick_slot(struct caller **at, int64_t due_ns)
{
    while (*at) {
        struct caller *c = *at;
        if (c->over && c->link && due_ns - c->over_ns > BYE_S * 1000000000LL) {
            fault("the server did not end its side after stop", c->sid, strlen(c->sid));
            link_close(c->link);
            gone(c);
        }
        if (c->over && !c->link && !c->listed) {
            *at = c->next;
            free(c->marks);
            free(c);
            continue;
        }
        if (c->open && !c->over)
            tick(c, due_ns);
        at = &c->next;
    }
}

static void run_slots(int64_t now_ns)
{
    if (all.turn_ns == 0)
        all.turn_ns = now_ns;
    /* a load that cannot keep the pace must not pile up what it owes: it says so instead */
    if (now_ns - all.turn_ns > 5 * (int64_t)FRAME_NS * load.options.slower) {
        fault("the load itself was too slow", "", 0);
        all.turn_ns = now_ns;
    }
    for (int i = 0; i < SLOTS && all.turn_ns <= now_ns; i++) {
        tick_slot(&all.slots[all.slot], all.turn_ns);
        all.slot = (all.slot + 1) % SLOTS;
        all.turn_ns += (int64_t)SLOT_NS * load.options.slower;
    }
}

/* How many calls may begin by now at that rate. */
static int due_at(double per_second, int64_t now_ns, int64_t *last_ns)
{
    int due;
    if (per_second <= 0)
        return 0;
    if (now_ns - *last_ns > 1000000000 || *last_ns == 0)
        *last_ns = now_ns - (int64_t)(1e9 / per_second);
    due = (int)((double)(now_ns - *last_ns) * per_second / 1e9);
    *last_ns += (int64_t)(due * 1e9 / per_second);
    return due;
}

void callers_tick(int64_t now_ns, int wanted)
{
    static int64_t ramp_ns, churn_ns;
    run_slots(now_ns);
    if (all.count > wanted)
        end_oldest();
    else if (all.count < wanted) {
        for (int due = due_at(load.options.ramp, now_ns, &ramp_ns); due > 0 && all.count < wanted && begin_call();)
            due--;
    } else {
        for (int due = due_at(load.options.churn, now_ns, &churn_ns); due > 0; due--) {
            if (begin_call())
                end_oldest();
        }
    }
}

void callers_window_over(void)
{
    for (struct caller *c = all.oldest; c; c = c->newer)
        c->window_sent = c->sent;
}

uint64_t callers_missing(void)
{
    uint64_t missing = 0;
    for (struct caller *c = all.oldest; c; c = c->newer) {
        if (!c->over && c->expected > 0 && c->window_sent >= c->expected)
            missing += c->window_sent - c->expected + 1;
    }
    return missing;
}
