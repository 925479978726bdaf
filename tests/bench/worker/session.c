/* The AI's side of many calls, as sessions of the OpenAI Realtime API are. The echo profile sends each
 * input_audio_buffer.append back as a delta. The real one talks: a turn of the caller and an answer every
 * five seconds, now and then with a tool call before it or a barge-in over it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "tests/bench/worker/load.h"
#include "worker/jscan.h"

enum { GREETING_DELTAS = 4, GREETING_DELTA_MS = 200, DELTA_MS_MAX = 400, BYTES_PER_MS = 8 };

/* The ticks (20 ms) of a turn in the real profile. */
enum { TURN_TICKS = 250, SPEECH_ENDS = 75, TRANSCRIPT = 80, ANSWER = 90, FASTER = 4 };
enum { TOOL_EVERY = 3, BARGE_EVERY = 4, ANSWER_MS = 2500, LONG_ANSWER_MS = 4500 };

struct session {
    struct link *link;
    struct session *next; /* of its slot */
    bool gone, talking, greeted;
    int updates;     /* session.update messages that came */
    unsigned answer; /* number of the answer under way, or the last */
    unsigned turn, event;
    int tick;        /* of the turn; -1: the conversation has not begun */
    int left_ms;     /* of the answer's audio */
    int wait_ticks;  /* until its next delta */
    bool tool_open;  /* its output is awaited */
    uint32_t expected, deltas;
    size_t place;    /* of the next byte appended, in its frame */
};

static struct {
    struct session *slots[SLOTS];
    int slot, next_slot;
    int64_t turn_ns;
    char silence[DELTA_MS_MAX * BYTES_PER_MS * 4 / 3 + 8];
} all;

void sessions_init(void)
{
    memset(all.silence, '/', sizeof all.silence);
}

/* ---- writing ---- */

__attribute__((format(printf, 2, 3))) static void put(struct session *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    link_put(s->link, (size_t)vsprintf(link_room(s->link), format, arguments));
    va_end(arguments);
}

#define IDS "\"event_id\":\"event_%u\",\"response_id\":\"resp_%u\",\"item_id\":\"item_%u\",\"output_index\":0,\"content_index\":0"

static void put_delta(struct session *s, const char *base64, size_t len)
{
    char *room = link_room(s->link);
    int n = sprintf(room, "{\"type\":\"response.output_audio.delta\"," IDS ",\"delta\":\"", s->event++, s->answer, s->answer);
    memcpy(room + n, base64, len);
    memcpy(room + n + len, "\"}", 2);
    link_put(s->link, (size_t)n + len + 2);
    load.figures.deltas += load.measuring;
}

/* Audio of that length, a multiple of 3 ms, with a stamp at its start. */
static void put_stamped_delta(struct session *s, int ms)
{
    char *base64 = all.silence;
    stamp_put(base64, (struct stamp){wall_ns(), ++s->deltas});
    put_delta(s, base64, (size_t)(ms * BYTES_PER_MS / 3 * 4));
    memset(base64, '/', STAMP_CHARS);
}

static void begin_answer(struct session *s)
{
    s->answer++;
    put(s, "{\"type\":\"response.created\",\"event_id\":\"event_%u\",\"response\":{\"object\":\"realtime.response\","
           "\"id\":\"resp_%u\",\"status\":\"in_progress\",\"output\":[]}}", s->event++, s->answer);
    put(s, "{\"type\":\"response.output_item.added\",\"event_id\":\"event_%u\",\"response_id\":\"resp_%u\",\"output_index\":0,"
           "\"item\":{\"id\":\"item_%u\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[]}}",
        s->event++, s->answer, s->answer);
}

static void end_answer(struct session *s, const char *words)
{
    put(s, "{\"type\":\"response.output_audio.done\"," IDS "}", s->event++, s->answer, s->answer);
    put(s, "{\"type\":\"response.output_audio_transcript.done\"," IDS ",\"transcript\":\"%s\"}", s->event++, s->answer,
        s->answer, words);
    put(s, "{\"type\":\"response.output_item.done\",\"event_id\":\"event_%u\",\"response_id\":\"resp_%u\",\"output_index\":0,"
           "\"item\":{\"id\":\"item_%u\",\"type\":\"message\",\"role\":\"assistant\"}}", s->event++, s->answer, s->answer);
    put(s, "{\"type\":\"response.done\",\"event_id\":\"event_%u\",\"response\":{\"id\":\"resp_%u\",\"status\":\"completed\"}}",
        s->event++, s->answer);
    put(s, "{\"type\":\"rate_limits.updated\",\"event_id\":\"event_%u\",\"rate_limits\":[]}", s->event++);
}

/* ---- the echo ---- */

static void on_frame(void *arg, struct stamp *stamp)
{
    struct session *s = arg;
    int64_t travelled = load.loop.came_ns - stamp->ns;
    if (stamp->n == NO_STAMP)
        return;
    if (s->expected != 0 && stamp->n != s->expected)
        fault("an appended frame is missing, doubled or out of order", "", 0);
    s->expected = stamp->n + 1;
    if (load.measuring && load.options.profile == PROFILE_REAL)
        spread_add(&load.figures.up, travelled / 1000);
    stamp->ns = wall_ns() - travelled; /* the time it spends here is not the server's */
}

static void begin_conversation(struct session *s)
{
    s->talking = true;
    load.figures.upgraded += load.measuring && s->updates > 1;
    if (load.options.profile == PROFILE_ECHO)
        begin_answer(s);
    else
        s->tick = 0;
}

static void on_append(struct session *s, struct jscan_value *audio)
{
    if (audio->kind != JSCAN_STRING || audio->escaped ||
        stamp_each((char *)(uintptr_t)audio->at, audio->len, &s->place, on_frame, s) < 0)
        fault("append without base64 audio", audio->at, audio->len);
    load.figures.appends += load.measuring;
    if (!s->talking && s->updates >= load.options.updates)
        begin_conversation(s);
    if (s->talking && load.options.profile == PROFILE_ECHO)
        put_delta(s, audio->at, audio->len);
}

/* ---- what else the server sends ---- */

static bool is_pcmu(json_t *audio, const char *side)
{
    const char *type = json_string_value(json_object_get(json_object_get(json_object_get(audio, side), "format"), "type"));
    return type && strcmp(type, "audio/pcmu") == 0;
}

static void on_update(struct session *s, json_t *event)
{
    json_t *session = json_object_get(event, "session"), *audio = json_object_get(session, "audio"), *answer;
    char *text;
    if (s->updates++ == 0 && (!is_pcmu(audio, "input") || !is_pcmu(audio, "output")))
        fault("the session is not audio/pcmu", "", 0);
    answer = json_pack("{s:s, s:s, s:{s:s, s:s, s:O?, s:{s:{s:{s:s}}, s:{s:{s:s}, s:s}}}}", "type", "session.updated",
                       "event_id", "event_u", "session", "type", "realtime", "model", "gpt-realtime", "instructions",
                       json_object_get(session, "instructions"), "audio", "input", "format", "type", "audio/pcmu",
                       "output", "format", "type", "audio/pcmu", "voice", "marin");
    text = json_dumps(answer, JSON_COMPACT);
    put(s, "%s", text);
    free(text);
    json_decref(answer);
}

static void on_truncate(struct session *s, json_t *event)
{
    const char *item = json_string_value(json_object_get(event, "item_id"));
    unsigned number = 0;
    if (!item || sscanf(item, "item_%u", &number) != 1 || number == 0 || number > s->answer)
        fault("no such item to truncate", item ? item : "", item ? strlen(item) : 0);
    put(s, "{\"type\":\"conversation.item.truncated\",\"event_id\":\"event_%u\",\"item_id\":\"item_%u\",\"content_index\":0,"
           "\"audio_end_ms\":%lld}", s->event++, number, (long long)json_integer_value(json_object_get(event, "audio_end_ms")));
}

static void on_item(struct session *s, json_t *event)
{
    const char *type = json_string_value(json_object_get(json_object_get(event, "item"), "type"));
    if (type && strcmp(type, "function_call_output") == 0)
        s->tool_open = false;
    put(s, "{\"type\":\"conversation.item.added\",\"event_id\":\"event_%u\",\"item\":{\"id\":\"item_c\",\"type\":\"%s\"}}",
        s->event++, type ? type : "message");
}

/* Says what it was asked to say, all at once, as a model does. */
static void greet(struct session *s, json_t *event)
{
    static const char exactly[] = "nothing else: ";
    const char *asked = json_string_value(json_object_get(json_object_get(event, "response"), "instructions"));
    const char *words = asked ? strstr(asked, exactly) : NULL;
    begin_answer(s);
    for (int i = 0; i < GREETING_DELTAS; i++)
        put_delta(s, all.silence, GREETING_DELTA_MS * BYTES_PER_MS / 3 * 4);
    end_answer(s, words ? words + sizeof exactly - 1 : "Hello.");
}

static void begin_real_answer(struct session *s)
{
    begin_answer(s);
    s->left_ms = s->turn % BARGE_EVERY == 0 ? LONG_ANSWER_MS : ANSWER_MS;
    s->wait_ticks = 0;
}

static void on_response_create(struct session *s, json_t *event)
{
    if (s->tick < 0)
        greet(s, event);
    else if (s->tool_open)
        fault("an answer is asked for while a tool's output is missing", "", 0);
    else
        begin_real_answer(s);
}

static void on_event(struct session *s, const struct jscan_value *type, char *text, size_t len)
{
    json_error_t error;
    json_t *event = json_loadb(text, len, 0, &error);
    if (jscan_is(type, "session.update"))
        on_update(s, event);
    else if (jscan_is(type, "response.create"))
        on_response_create(s, event);
    else if (jscan_is(type, "conversation.item.create"))
        on_item(s, event);
    else if (jscan_is(type, "conversation.item.truncate"))
        on_truncate(s, event);
    else
        fault("unknown event", text, len);
    json_decref(event);
}

static void on_text(struct link *l, char *text, size_t len, void *arg)
{
    struct session *s = arg;
    struct jscan scan = jscan_open(text, len);
    struct jscan_value key, value, type = {.kind = JSCAN_NULL}, audio = type;
    while (jscan_member(&scan, &key, &value)) {
        if (jscan_is(&key, "type"))
            type = value;
        else if (jscan_is(&key, "audio"))
            audio = value;
    }
    if (!jscan_ok(&scan))
        fault("not JSON", text, len);
    else if (jscan_is(&type, "input_audio_buffer.append"))
        on_append(s, &audio);
    else
        on_event(s, &type, text, len);
    link_flush(l);
}

/* ---- the real profile ---- */

static void speech(struct session *s, const char *what)
{
    put(s, "{\"type\":\"input_audio_buffer.speech_%s\",\"event_id\":\"event_%u\",\"audio_start_ms\":0,\"item_id\":\"caller_%u\"}",
        what, s->event++, s->turn);
}

static void transcript(struct session *s)
{
    put(s, "{\"type\":\"input_audio_buffer.committed\",\"event_id\":\"event_%u\",\"item_id\":\"caller_%u\"}", s->event++, s->turn);
    put(s, "{\"type\":\"conversation.item.added\",\"event_id\":\"event_%u\",\"item\":{\"id\":\"caller_%u\",\"type\":\"message\"}}",
        s->event++, s->turn);
    put(s, "{\"type\":\"conversation.item.input_audio_transcription.completed\",\"event_id\":\"event_%u\",\"item_id\":\"caller_%u\","
           "\"content_index\":0,\"transcript\":\"I would like to come by on Thursday at ten, if that is possible.\"}",
        s->event++, s->turn);
}

static void call_tool(struct session *s)
{
    s->answer++;
    s->tool_open = true;
    load.figures.tools += load.measuring;
    put(s, "{\"type\":\"response.created\",\"event_id\":\"event_%u\",\"response\":{\"id\":\"resp_%u\",\"status\":\"in_progress\"}}",
        s->event++, s->answer);
    put(s, "{\"type\":\"response.output_item.done\",\"event_id\":\"event_%u\",\"response_id\":\"resp_%u\",\"output_index\":0,"
           "\"item\":{\"id\":\"item_%u\",\"type\":\"function_call\",\"call_id\":\"call_%u\",\"name\":\"set_customer_name\","
           "\"arguments\":\"{\\\"name\\\":\\\"Jane Miller\\\"}\"}}", s->event++, s->answer, s->answer, s->answer);
    put(s, "{\"type\":\"response.done\",\"event_id\":\"event_%u\",\"response\":{\"id\":\"resp_%u\",\"status\":\"completed\"}}",
        s->event++, s->answer);
}

/* 100 to 400 ms of audio, four times faster than it plays. */
static void speak(struct session *s)
{
    int ms = 102 + (int)((s->deltas * 37 + s->turn * 11) % 100) * 3;
    if (s->wait_ticks-- > 0)
        return;
    put_stamped_delta(s, ms);
    put(s, "{\"type\":\"response.output_audio_transcript.delta\"," IDS ",\"delta\":\"and so on \"}", s->event++, s->answer, s->answer);
    s->left_ms -= ms;
    s->wait_ticks = ms / FASTER / 20;
    if (s->left_ms <= 0)
        end_answer(s, "Of course, Thursday at ten is free. Shall I write you down for that time?");
}

static void tick(struct session *s)
{
    switch (s->tick) {
    case 0:
        s->turn++;
        s->left_ms = 0;
        speech(s, "started");
        break;
    case SPEECH_ENDS:
        speech(s, "stopped");
        break;
    case TRANSCRIPT:
        transcript(s);
        break;
    case ANSWER:
        if (s->turn % TOOL_EVERY == 0)
            call_tool(s);
        else
            begin_real_answer(s);
        break;
    default:
        break;
    }
    if (s->left_ms > 0)
        speak(s);
    s->tick = (s->tick + 1) % TURN_TICKS;
    link_flush(s->link);
}

static void tick_slot(struct session **at)
{
    while (*at) {
        struct session *s = *at;
        if (s->gone) {
            *at = s->next;
            free(s);
            continue;
        }
        if (s->tick >= 0)
            tick(s);
        at = &s->next;
    }
}

void sessions_tick(int64_t now_ns)
{
    if (all.turn_ns == 0)
        all.turn_ns = now_ns;
    for (int i = 0; i < SLOTS && all.turn_ns <= now_ns; i++) {
        tick_slot(&all.slots[all.slot]);
        all.slot = (all.slot + 1) % SLOTS;
        all.turn_ns += (int64_t)SLOT_NS * load.options.slower;
    }
}

/* ---- life ---- */

static void on_open(struct link *l, void *arg)
{
    struct session *s = arg;
    put(s, "{\"type\":\"session.created\",\"event_id\":\"event_%u\",\"session\":{\"type\":\"realtime\",\"model\":\"gpt-realtime\"}}",
        s->event++);
    link_flush(l);
}

static void on_closed(struct link *l, const char *why, void *arg)
{
    struct session *s = arg;
    (void)l;
    (void)why;
    s->gone = true;
    s->tick = -1;
}

static const struct link_events events = {on_open, on_text, on_closed};

void sessions_accept(struct link_loop *loop, int fd)
{
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        die("memory");
    all.next_slot = (all.next_slot + 123) % SLOTS;
    s->tick = -1;
    s->turn = (unsigned)all.next_slot; /* so that not all do the same at once */
    s->next = all.slots[all.next_slot];
    all.slots[all.next_slot] = s;
    s->link = link_accept(loop, fd, &events, s);
}
