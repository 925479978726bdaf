/* The state machine of a call without a socket: events are fed, states are noted. What surrounds it is
 * stubbed: sockets, Redis, the journal, the tools. */
#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "tests/unit/worker/surroundings.h"
#include "worker/call/answers.h"

#define SID "CA0123456789abcdef0123456789abcdef"
#define SECRET "a secret"

struct ws_conn {
    const struct ws_handler *handler;
    void *arg;
    bool open;
    uint16_t close_code;
};

static struct ws_conn stream, ai;
static struct worker w;
static struct worker_config config;
static struct call *call;
static struct deferred *deferred;
static bool full; /* the process */
static char trace[256];
static char sent[8192]; /* types of the messages to the AI */

/* ---- the surroundings ---- */

void ws_set_handler(struct ws_conn *ws, const struct ws_handler *handler, void *arg)
{
    ws->handler = handler;
    ws->arg = arg;
    ws->open = true;
}

struct ws_conn *ws_dial(struct worker *worker, const struct ai_target *target, size_t max,
                        const struct ws_handler *handler, void *arg)
{
    (void)worker, (void)target, (void)max;
    ws_set_handler(&ai, handler, arg);
    return &ai;
}

void ws_close(struct ws_conn *ws, uint16_t code, const char *reason)
{
    (void)reason;
    if (ws) {
        ws->open = false;
        ws->close_code = code;
    }
}

char *ws_room(struct ws_conn *ws, size_t *size)
{
    static char room[65536];
    (void)ws;
    *size = sizeof room;
    return room;
}

void ws_send_room(struct ws_conn *ws, size_t len)
{
    (void)ws, (void)len;
}

void ws_send_text(struct ws_conn *ws, const char *text, size_t len)
{
    json_t *event = json_loadb(text, len, 0, NULL);
    size_t used = strlen(sent);
    (void)ws;
    assert_non_null(event);
    snprintf(sent + used, sizeof sent - used, "%s ", json_string_value(json_object_get(event, "type")));
    json_decref(event);
}

int ws_http_status(const struct ws_conn *ws)
{
    (void)ws;
    return 0;
}

void ws_wait_for(struct ws_conn *ws, size_t bytes)
{
    (void)ws, (void)bytes;
}

enum peer_fault ws_fault(const struct ws_conn *ws)
{
    (void)ws;
    return FAULT_NONE;
}

void worker_defer(struct worker *worker, struct deferred *d, void (*fn)(void *arg), void *arg)
{
    (void)worker;
    *d = (struct deferred){fn, arg, NULL};
    deferred = d;
}

void worker_call_came(struct worker *worker)
{
    (void)worker;
}

bool worker_call_begins(struct worker *worker)
{
    (void)worker;
    return !full;
}

void worker_call_over(struct worker *worker, bool placed)
{
    (void)worker, (void)placed;
}

/* ---- events ---- */

static const char *const names[] = {
#define X(id, name, seconds) name,
    CALL_STATES(X)
#undef X
};

static void note(void)
{
    size_t used = strlen(trace);
    const char *last = strrchr(trace, ' ');
    last = last ? last + 1 : trace;
    if (strcmp(last, names[call->state]) != 0)
        snprintf(trace + used, sizeof trace - used, "%s%s", used ? " " : "", names[call->state]);
}

static void feed(struct call_event ev)
{
    call_on(call, &ev);
    note();
}

static void from_carrier(struct carrier_event ev)
{
    feed((struct call_event){.kind = CALL_EV_CARRIER, .carrier = &ev});
}

static void from_ai(struct ai_event ev)
{
    feed((struct call_event){.kind = CALL_EV_AI, .ai = &ev});
}

static void start(void)
{
    struct carrier_event ev = {.kind = CARRIER_START, .call_sid = SID, .stream_sid = "MZ1"};
    token_mint(ev.token, SECRET, SID, 0, clock_wall_ms() + 60000);
    from_carrier(ev);
}

static void redis_answers(const redisReply *reply)
{
    ticket_fn *fn = around.asked.fn;
    assert_non_null(fn);
    around.asked.fn = NULL;
    fn(around.asked.owner, reply);
    note();
}

static void claimed(void)
{
    redis_answers(&(redisReply){.type = REDIS_REPLY_ARRAY});
}

static void no_cache(void)
{
    redis_answers(&(redisReply){.type = REDIS_REPLY_NIL});
}

static void ai_opens(void)
{
    feed((struct call_event){.kind = CALL_EV_AI_OPEN});
}

static void ai_configured(void)
{
    from_ai((struct ai_event){.kind = AI_CONFIGURED});
}

static void ai_refuses(void)
{
    from_ai((struct ai_event){.kind = AI_REFUSED, .error = "invalid_value: no"});
}

static void ai_lost(void)
{
    feed((struct call_event){.kind = CALL_EV_AI_LOST, .why = "gone"});
}

static void ai_lost_for_good(void)
{
    feed((struct call_event){.kind = CALL_EV_AI_LOST, .why = "invalid_api_key", .permanent = true});
}

static void ai_answers(void)
{
    static const char audio[] = "////////////////"; /* 12 bytes */
    from_ai((struct ai_event){.kind = AI_RESPONSE_STARTED, .response = "r1"});
    from_ai((struct ai_event){.kind = AI_AUDIO, .item = "i1", .response = "r1", .audio = audio,
                              .audio_len = sizeof audio - 1});
    from_ai((struct ai_event){.kind = AI_TEXT_DONE, .item = "i1", .response = "r1", .text = (char[]){"words"}});
}

static void ai_done(void)
{
    from_ai((struct ai_event){.kind = AI_RESPONSE_DONE, .response = "r1"});
}

static void ai_cut(void)
{
    from_ai((struct ai_event){.kind = AI_RESPONSE_DONE, .response = "r1", .status = AI_CANCELLED});
}

static void ai_fails(void)
{
    from_ai((struct ai_event){.kind = AI_RESPONSE_STARTED, .response = "r2"});
    from_ai((struct ai_event){.kind = AI_RESPONSE_DONE, .response = "r2", .status = AI_FAILED});
}

static void ai_ends(void)
{
    from_ai((struct ai_event){.kind = AI_TOOL_CALL, .tool_id = "t1", .tool_name = "end_call"});
}

static void context_comes(void)
{
    feed((struct call_event){.kind = CALL_EV_CONTEXT});
}

static void played(void)
{
    from_carrier((struct carrier_event){.kind = CARRIER_PLAYED, .mark = "0.12"});
}

static void caller_begins(void)
{
    from_ai((struct ai_event){.kind = AI_SPEECH_STARTED, .item = "u1"});
}

static void caller_stops(void)
{
    from_ai((struct ai_event){.kind = AI_SPEECH_STOPPED, .item = "u1"});
}

static void words(void)
{
    from_ai((struct ai_event){.kind = AI_CALLER_TRANSCRIPT, .item = "u1", .text = (char[]){"hello"}});
}

static void key_pressed(void)
{
    from_carrier((struct carrier_event){.kind = CARRIER_DTMF, .digit = '#'});
}

static void carrier_stops(void)
{
    from_carrier((struct carrier_event){.kind = CARRIER_STOP});
}

static void carrier_errs(void)
{
    from_carrier((struct carrier_event){.kind = CARRIER_BAD, .error = "not JSON"});
}

static void carrier_lost(void)
{
    feed((struct call_event){.kind = CALL_EV_CARRIER_LOST, .why = "1006", .fault = FAULT_NONE});
}

static void too_late(void)
{
    feed((struct call_event){.kind = CALL_EV_TIMEOUT});
}

static void hand_over(void)
{
    feed((struct call_event){.kind = CALL_EV_HAND_OVER});
}

static void fenced(void)
{
    feed((struct call_event){.kind = CALL_EV_JOURNAL, .outcome = JOURNAL_FENCED});
}

static void ended(void)
{
    feed((struct call_event){.kind = CALL_EV_JOURNAL, .outcome = JOURNAL_ENDED});
}

/* ---- a call ---- */

static void ring(void)
{
    static char secret[] = SECRET, voice[] = "marin", model[] = "gpt-realtime", whisper[] = "whisper-1";
    static char prefix[] = "rf", id[] = "test";
    config = (struct worker_config){.stream_secret = secret, .ai_voice = voice, .ai_model = model,
                                    .ai_transcription_model = whisper};
    memset(&w, 0, sizeof w);
    w.base = event_base_new();
    w.config = &config;
    w.keys = (struct key_space){prefix, 1};
    w.provider = provider_named("openai");
    w.id = id;
    around.answered_by = "";
    around.history = NULL;
    around.left_idle = full = false;
    trace[0] = around.verdict[0] = sent[0] = around.fact[0] = '\0';
    around.turns = 0;
    around.asked.fn = NULL;
    deferred = NULL;
    memset(&stream, 0, sizeof stream);
    call = call_new(&w, carriers[0], &stream);
    assert_non_null(call);
    note();
}

static void hang_up(void)
{
    if (call->state != CALL_GONE)
        call_drop(call);
    assert_non_null(deferred);
    deferred->fn(deferred->arg);
    event_base_free(w.base);
}

typedef void step(void);
enum { STEPS = 12 };

static void take(step *const steps[STEPS])
{
    for (int i = 0; i < STEPS && steps[i]; i++)
        steps[i]();
}

/* How a call comes into a state. */
#define ACCEPTED NULL
#define CLAIMING start
#define DIALLING start, claimed
#define GREETING DIALLING, ai_opens, no_cache, ai_configured, ai_answers
#define TALKING GREETING, ai_done, played
#define PARTING GREETING, ai_ends
#define LISTENING TALKING, caller_begins, carrier_stops
#define ENDING TALKING, carrier_stops

#define UP_TO_GREETING "accepted claiming dialling greeting"

/* Each state and each event that ends a call in it, or that must not. */
static void test_ends(void **state)
{
    static const struct {
        step *before[STEPS], *then[STEPS];
        const char *trace;
        enum call_reason reason; /* of a call that has ended */
        const char *verdict;     /* left in Redis; NULL: the call has no journal */
    } rows[] = {
        {{ACCEPTED}, {carrier_stops}, "accepted gone", REASON_CARRIER_STOP, NULL},
        {{ACCEPTED}, {carrier_errs}, "accepted gone", REASON_CARRIER_PROTOCOL, NULL},
        {{ACCEPTED}, {carrier_lost}, "accepted gone", REASON_CARRIER_LOST, NULL},
        {{ACCEPTED}, {too_late}, "accepted gone", REASON_START_TIMEOUT, NULL},
        {{ACCEPTED}, {hand_over}, "accepted gone", REASON_DRAINED, NULL},
        {{ACCEPTED}, {played}, "accepted gone", REASON_CARRIER_PROTOCOL, NULL},

        {{CLAIMING}, {carrier_stops}, "accepted claiming gone", REASON_CARRIER_STOP, NULL},
        {{CLAIMING}, {start}, "accepted claiming gone", REASON_CARRIER_PROTOCOL, NULL},
        {{CLAIMING}, {carrier_lost}, "accepted claiming gone", REASON_CARRIER_LOST, NULL},
        {{CLAIMING}, {too_late}, "accepted claiming gone", REASON_STORE_AWAY, NULL},

        {{DIALLING}, {carrier_stops, ended}, "accepted claiming dialling ending gone", REASON_CARRIER_STOP, ""},
        {{DIALLING}, {ai_lost, ai_lost}, "accepted claiming dialling", 0, ""},
        {{DIALLING}, {ai_opens, ai_refuses}, "accepted claiming dialling", 0, ""},
        {{DIALLING}, {ai_opens, ai_refuses, ai_refuses, ended}, "accepted claiming dialling ending gone",
         REASON_AI_REFUSED, "apology"},
        {{DIALLING}, {ai_lost_for_good, ended}, "accepted claiming dialling ending gone", REASON_AI_REFUSED, "apology"},
        {{DIALLING}, {too_late, ended}, "accepted claiming dialling ending gone", REASON_AI_UNREACHABLE, "apology"},
        {{DIALLING}, {hand_over, ended}, "accepted claiming dialling ending gone", REASON_DRAINED, "left"},
        {{DIALLING}, {fenced}, "accepted claiming dialling gone", REASON_FENCED, ""},

        {{GREETING}, {carrier_stops, ended}, UP_TO_GREETING " ending gone", REASON_CARRIER_STOP, ""},
        {{GREETING}, {carrier_errs, ended}, UP_TO_GREETING " ending gone", REASON_CARRIER_PROTOCOL, ""},
        {{GREETING}, {carrier_lost, ended}, UP_TO_GREETING " ending gone", REASON_CARRIER_LOST, ""},
        {{GREETING}, {too_late}, UP_TO_GREETING, 0, ""},
        {{GREETING}, {ai_lost, ai_opens, ai_configured}, UP_TO_GREETING " dialling talking", 0, ""},
        {{GREETING}, {ai_lost_for_good, ai_lost_for_good, ended}, UP_TO_GREETING " dialling ending gone",
         REASON_AI_REFUSED, "apology"},
        {{GREETING}, {ai_fails}, UP_TO_GREETING, 0, ""},
        {{GREETING}, {ai_fails, ai_fails, ended}, UP_TO_GREETING " ending gone", REASON_AI_FAILED, "apology"},
        {{GREETING}, {fenced}, UP_TO_GREETING " gone", REASON_FENCED, ""},

        {{TALKING}, {carrier_stops, ended}, UP_TO_GREETING " talking ending gone", REASON_CARRIER_STOP, ""},
        {{TALKING}, {caller_begins, carrier_lost, ended}, UP_TO_GREETING " talking ending gone", REASON_CARRIER_LOST, ""},
        {{TALKING}, {too_late}, UP_TO_GREETING " talking", 0, ""},
        {{TALKING}, {ai_lost, too_late, ended}, UP_TO_GREETING " talking dialling ending gone", REASON_AI_UNREACHABLE,
         "apology"},
        {{TALKING}, {hand_over, ended}, UP_TO_GREETING " talking ending gone", REASON_DRAINED, "left"},
        {{TALKING}, {fenced}, UP_TO_GREETING " talking gone", REASON_FENCED, ""},

        {{PARTING}, {ai_done, played, ended}, UP_TO_GREETING " parting ending gone", REASON_AGENT_HANGUP, "hangup"},
        {{PARTING}, {too_late, ended}, UP_TO_GREETING " parting ending gone", REASON_AGENT_HANGUP, "hangup"},
        {{PARTING}, {ai_done, ai_lost}, UP_TO_GREETING " parting", 0, ""},
        {{PARTING}, {ai_done, ai_lost, played, ended}, UP_TO_GREETING " parting ending gone", REASON_AGENT_HANGUP,
         "hangup"},
        {{PARTING}, {ai_lost, played, ended}, UP_TO_GREETING " parting ending gone", REASON_AGENT_HANGUP, "hangup"},
        {{PARTING}, {hand_over, ended}, UP_TO_GREETING " parting ending gone", REASON_AGENT_HANGUP, "hangup"},
        {{PARTING}, {caller_begins}, UP_TO_GREETING " parting talking", 0, ""},
        {{PARTING}, {carrier_stops, ended}, UP_TO_GREETING " parting ending gone", REASON_CARRIER_STOP, ""},
        {{PARTING}, {fenced}, UP_TO_GREETING " parting gone", REASON_FENCED, ""},

        {{LISTENING}, {carrier_lost, carrier_errs}, UP_TO_GREETING " talking listening", 0, ""},
        {{LISTENING}, {words, ended}, UP_TO_GREETING " talking listening ending gone", REASON_CARRIER_STOP, ""},
        {{LISTENING}, {too_late, ended}, UP_TO_GREETING " talking listening ending gone", REASON_CARRIER_STOP, ""},
        {{LISTENING}, {ai_lost, ended}, UP_TO_GREETING " talking listening ending gone", REASON_CARRIER_STOP, ""},
        {{LISTENING}, {hand_over, ended}, UP_TO_GREETING " talking listening ending gone", REASON_CARRIER_STOP, ""},
        {{LISTENING}, {fenced}, UP_TO_GREETING " talking listening gone", REASON_FENCED, ""},

        {{ENDING}, {carrier_lost, ai_lost, hand_over}, UP_TO_GREETING " talking ending", REASON_CARRIER_STOP, ""},
        {{ENDING}, {too_late}, UP_TO_GREETING " talking ending gone", REASON_CARRIER_STOP, ""},
        {{ENDING}, {fenced}, UP_TO_GREETING " talking ending gone", REASON_CARRIER_STOP, ""},
        {{ENDING}, {ended, ended, carrier_lost}, UP_TO_GREETING " talking ending gone", REASON_CARRIER_STOP, ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ring();
        take(rows[i].before);
        take(rows[i].then);
        assert_string_equal(trace, rows[i].trace);
        assert_int_equal(call->reason, rows[i].reason);
        assert_string_equal(around.verdict, rows[i].verdict ? rows[i].verdict : "");
        if (call->state == CALL_GONE) {
            assert_false(stream.open); /* whichever end it was, the carrier is let go of, once */
            assert_int_equal(metric_get(&w.metrics.ended[call->reason]), 1);
        } else {
            assert_true(stream.open);
        }
        hang_up();
    }
}

static void test_a_good_call(void **state)
{
    static step *const steps[STEPS] = {TALKING};
    (void)state;
    ring();
    take(steps);
    assert_string_equal(trace, UP_TO_GREETING " talking");
    assert_int_equal(around.turns, 1);
    assert_string_equal(sent, "session.update response.create session.update ");
    hang_up();
}

/* The last place went to another stream between the upgrade and the start. */
static void test_no_place(void **state)
{
    (void)state;
    ring();
    full = true;
    start();
    assert_string_equal(trace, "accepted gone");
    assert_int_equal(call->reason, REASON_FULL);
    assert_int_equal(stream.close_code, 1013);
    assert_null(around.asked.fn); /* Redis has heard nothing of it: the token is good for another stream */
    hang_up();
}

/* Taken over from another worker: no greeting, and the cache is not even asked. */
static void test_resumed(void **state)
{
    static step *const steps[STEPS] = {DIALLING, ai_opens, ai_configured};
    (void)state;
    ring();
    around.history = "I was just saying";
    take(steps);
    assert_string_equal(trace, "accepted claiming dialling talking");
    assert_string_equal(sent, "session.update conversation.item.create response.create ");
    hang_up();
}

/* Nobody waited for a word when the worker before left: none is said. */
static void test_resumed_in_a_pause(void **state)
{
    static step *const steps[STEPS] = {DIALLING, ai_opens, ai_configured};
    (void)state;
    ring();
    around.history = "Thank you.";
    around.left_idle = true;
    take(steps);
    assert_string_equal(trace, "accepted claiming dialling talking");
    assert_string_equal(sent, "session.update conversation.item.create ");
    hang_up();
}

/* Who takes a call over is told whether somebody waits for a word. */
static void test_handed_over(void **state)
{
    static const struct {
        step *steps[STEPS];
        const char *fact;
    } rows[] = {
        {{TALKING, hand_over}, "{\"handed_over\":\"idle\"}"},
        {{TALKING, caller_begins, hand_over}, "{\"handed_over\":\"busy\"}"},
        {{TALKING, caller_begins, words, hand_over}, "{\"handed_over\":\"busy\"}"},
        {{TALKING, ai_answers, hand_over}, "{\"handed_over\":\"busy\"}"},
        {{TALKING, ai_answers, ai_lost, hand_over}, "{\"handed_over\":\"busy\"}"},
        {{GREETING, hand_over}, "{\"handed_over\":\"busy\"}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ring();
        take(rows[i].steps);
        assert_string_equal(around.verdict, "left");
        assert_string_equal(around.fact, rows[i].fact);
        hang_up();
    }
}

/* The full context comes when the AI cannot be told of it: it is as soon as it can, and once. */
static void test_late_context(void **state)
{
    static const struct {
        step *steps[STEPS];
        int updates; /* after the good call's two */
    } rows[] = {
        {{TALKING, context_comes}, 1},
        {{TALKING, ai_lost, context_comes, ai_opens, ai_configured}, 1},
        {{TALKING, ai_lost, ai_opens, context_comes, ai_configured}, 2},
        {{TALKING, ai_answers, ai_ends, context_comes}, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        int updates = 0;
        ring();
        take(rows[i].steps);
        for (const char *at = sent; (at = strstr(at, "session.update ")); at++)
            updates++;
        assert_int_equal(updates, 2 + rows[i].updates);
        if (call->state == CALL_PARTING) { /* who speaks on is talked with as any other */
            caller_begins();
            assert_string_equal(sent + strlen(sent) - strlen("session.update "), "session.update ");
        }
        hang_up();
    }
}

/* Redis lost the connection while it was asked for the greeting: the AI speaks it. */
static void test_greeting_without_redis(void **state)
{
    static step *const steps[STEPS] = {DIALLING, ai_opens, ai_configured};
    (void)state;
    ring();
    take(steps);
    assert_null(strstr(sent, "response.create"));
    redis_answers(NULL);
    assert_string_equal(sent, "session.update response.create ");
    hang_up();
}

/* The session is lost while the cache is still asked: one greeting, not two. */
static void test_one_greeting(void **state)
{
    static step *const steps[STEPS] = {DIALLING, ai_opens, ai_configured, ai_lost, ai_opens, ai_configured};
    static char audio[800];
    redisReply hit = {.type = REDIS_REPLY_STRING, .str = audio, .len = sizeof audio};
    (void)state;
    ring();
    memset(audio, 0x7F, sizeof audio);
    take(steps);
    redis_answers(&hit);
    assert_null(around.asked.fn);
    assert_int_equal(metric_get(&w.metrics.greetings_cached), 1);
    assert_string_equal(sent, "session.update session.update "); /* nobody else was asked to greet */
    hang_up();
}

/* A voicemail message is heard to its end, and the machine is not talked with. */
static void test_machine(void **state)
{
    static step *const steps[STEPS] = {GREETING, ai_done, played, caller_begins, played, ended};
    (void)state;
    ring();
    around.answered_by = "machine_end_beep";
    take(steps);
    assert_string_equal(trace, UP_TO_GREETING " parting ending gone");
    assert_int_equal(call->reason, REASON_VOICEMAIL);
    assert_string_equal(around.verdict, "hangup");
    hang_up();
}

/* A session that is lost in mid message is replaced, for that message only. */
static void test_machine_session_lost(void **state)
{
    static step *const steps[STEPS] = {GREETING, ai_lost, ai_opens, ai_configured};
    (void)state;
    ring();
    around.answered_by = "machine_end_beep";
    take(steps);
    assert_string_equal(trace, UP_TO_GREETING " dialling parting");
    assert_int_equal(call->parting, REASON_VOICEMAIL);
    hang_up();
}

/* An answer that is wanted while another is under way is asked for once that is done, in its words. */
static void test_answers_wait(void **state)
{
    static step *const steps[STEPS] = {TALKING, ai_answers};
    (void)state;
    ring();
    take(steps);
    sent[0] = '\0';
    call_part(call, REASON_TIME_LIMIT);
    note();
    call->answer.asked_with = NULL;
    answers_ask(call, "Say goodbye.");
    assert_string_equal(sent, "");
    ai_done();
    assert_string_equal(sent, "response.create ");
    assert_string_equal(call->answer.asked_with, "Say goodbye.");
    assert_string_equal(trace, UP_TO_GREETING " talking parting");
    hang_up();
}

static void tool_answers(void)
{
    answers_to_tools(call);
}

static void goodbye_wanted(void)
{
    answers_ask(call, "Say goodbye.");
}

/* What is wanted while the caller speaks waits for the end of the words. The provider answers those by itself, and
 * knows of the tool by then; of instructions it knows nothing. */
static void test_the_caller_speaks_first(void **state)
{
    static step *const talking[STEPS] = {TALKING};
    static const struct {
        step *steps[STEPS];
        bool asked;
    } rows[] = {
        {{caller_begins, tool_answers}, false},
        {{caller_begins, tool_answers, caller_stops}, false},
        {{caller_begins, tool_answers, caller_stops, ai_answers, ai_done}, false},
        {{ai_answers, tool_answers, caller_begins, ai_cut}, false},
        {{ai_answers, tool_answers, caller_begins, ai_cut, caller_stops}, false},
        {{caller_begins, goodbye_wanted, caller_stops, ai_answers}, false},
        {{caller_begins, goodbye_wanted, caller_stops, ai_answers, ai_done}, true},
        {{ai_answers, tool_answers, ai_done}, true},
        {{caller_begins, caller_stops, tool_answers}, true},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        ring();
        take(talking);
        sent[0] = '\0';
        take(rows[i].steps);
        assert_int_equal(strstr(sent, "response.create") != NULL, rows[i].asked);
        hang_up();
    }
}

/* The first of two tools is done before the second, and before the answer that called both is over. */
static void test_one_answer_to_all_tools(void **state)
{
    static step *const steps[STEPS] = {TALKING, ai_answers};
    static char other;
    (void)state;
    ring();
    take(steps);
    sent[0] = '\0';
    call->tools = (struct tool_run *)&other;
    tool_answers();
    ai_done();
    assert_string_equal(sent, "");
    answers_ask(call, NULL); /* the caller pressed a key: that is answered at once */
    assert_string_equal(sent, "response.create ");
    ai_answers();
    call->tools = NULL;
    tool_answers();
    ai_done();
    assert_string_equal(sent, "response.create response.create ");
    hang_up();
}

/* A call may end between its heartbeats: the next one's is kept for. */
static void test_ends_before_its_beat(void **state)
{
    struct call *older;
    (void)state;
    ring();
    older = call;
    call = call_new(&w, carriers[0], &stream);
    assert_non_null(call);
    w.next_beat = call;
    call_drop(call);
    assert_ptr_equal(w.next_beat, older);
    deferred->fn(deferred->arg);
    call = older;
    hang_up();
    assert_null(w.next_beat);
}

/* Somebody presses one key after the other while a long answer plays: nothing of what was said is left out. */
static void test_more_turns_than_may_be_open(void **state)
{
    static step *const steps[STEPS] = {TALKING, ai_answers};
    (void)state;
    ring();
    take(steps);
    assert_int_equal(around.turns, 1); /* the greeting */
    for (int i = 0; i < 2 * TURNS_MAX; i++)
        key_pressed();
    carrier_stops();
    assert_int_equal(around.turns, 1 + 1 + 2 * TURNS_MAX);
    hang_up();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_good_call),  cmocka_unit_test(test_ends),
        cmocka_unit_test(test_resumed),      cmocka_unit_test(test_greeting_without_redis),
        cmocka_unit_test(test_one_greeting), cmocka_unit_test(test_machine),
        cmocka_unit_test(test_machine_session_lost),
        cmocka_unit_test(test_answers_wait), cmocka_unit_test(test_resumed_in_a_pause),
        cmocka_unit_test(test_handed_over), cmocka_unit_test(test_late_context), cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_one_answer_to_all_tools), cmocka_unit_test(test_ends_before_its_beat),
        cmocka_unit_test(test_the_caller_speaks_first), cmocka_unit_test(test_more_turns_than_may_be_open),
    };
    log_set_level("error");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
