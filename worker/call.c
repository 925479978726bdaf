/* The state machine of a call. Read call_enter (what a state does first), call_on (what can happen
 * in it) and call_end (how it stops): that is every call. */
#include "worker/call.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/ai_leg.h"
#include "worker/call_tools.h"
#include "worker/call_watch.h"
#include "worker/conversation.h"
#include "worker/greeting.h"
#include "worker/late_context.h"
#include "worker/media.h"

/* A call that was taken over from another worker: the caller must not be greeted twice. */
#define RESUME_HINT                                                                                     \
    "The phone line was interrupted for a few seconds and is back. Do not greet again. Go on exactly " \
    "where the conversation stopped."

static const char *const state_names[] = {
#define X(id, name, seconds) name,
    CALL_STATES(X)
#undef X
};
static const int state_seconds[] = {
#define X(id, name, seconds) seconds,
    CALL_STATES(X)
#undef X
};
static const struct {
    const char *name;
    uint16_t close_code;
    const char *verdict;
} reasons[] = {
#define X(id, name, code, verdict) {name, code, verdict},
    CALL_REASONS(X)
#undef X
};

static void call_enter(struct call *c, enum call_state next);

/* Rule 4 of the design: the FULL prompt is in the context already; only one message goes out. */
static void upgrade_prompt(struct call *c)
{
    int64_t decided = clock_mono_us(), took;
    if (!c->w->provider->instructions)
        return;
    if (c->late.taken) /* it brings tools as well */
        ai_leg_send_settings(c);
    else
        conversation_send(c, c->w->provider->instructions(c->claim.context.prompt_full));
    took = clock_mono_us() - decided;
    metric_observe_us(&c->w->metrics.prompt_upgrade, took);
    log_info(c->sid, "prompt upgraded", log_real("seconds", (double)took / 1e6));
}

/* ---- the claim ---- */

static void on_claim_reply(void *owner, const redisReply *reply)
{
    struct call *c = owner;
    c->claiming = NULL;
    call_on(c, &(struct call_event){.kind = CALL_EV_CLAIM, .reply = reply});
}

static void on_journal(void *arg, enum journal_outcome outcome)
{
    call_on(arg, &(struct call_event){.kind = CALL_EV_JOURNAL, .outcome = outcome});
}

static void on_start(struct call *c, const struct carrier_event *ev)
{
    int n = 0;
    enum token_verdict verdict;
    c->started_ms = clock_mono_ms();
    watch_start(&c->watch, c->started_ms);
    snprintf(c->sid, sizeof c->sid, "%s", ev->call_sid);
    snprintf(c->stream_sid, sizeof c->stream_sid, "%s", ev->stream_sid);
    if (!call_sid_valid(c->sid) || strpbrk(c->stream_sid, "\"\\")) {
        call_end(c, REASON_CARRIER_PROTOCOL, "callSid or streamSid is not a name");
        return;
    }
    verdict = token_check(ev->token, c->w->config->stream_secret, c->sid, clock_wall_ms(), &n);
    if (verdict != TOKEN_GOOD) {
        call_end(c, REASON_TOKEN_REFUSED, verdict == TOKEN_EXPIRED ? "token expired" : "token not ours or of another call");
        return;
    }
    c->claiming = claim_send(c->w, c->sid, n, ev->token, c->stream_sid, on_claim_reply, c);
    if (c->claiming)
        call_enter(c, CALL_CLAIMING);
    else
        call_end(c, REASON_STORE_AWAY, "Redis is not reachable");
}

/* An outbound call that was answered by a machine: the message takes the greeting's place. */
static void leave_message(struct call *c)
{
    struct context *ctx = &c->claim.context;
    char *greeting = ctx->greeting;
    c->machine = true;
    ctx->greeting = ctx->voicemail_message;
    ctx->voicemail_message = greeting;
}

static void on_claim(struct call *c, const redisReply *reply)
{
    const char *wrong = claim_take(c->w, reply, &c->claim);
    metric_observe_us(&c->w->metrics.claim_seconds, (clock_mono_ms() - c->started_ms) * 1000);
    if (wrong) {
        call_end(c, reply && reply->type != REDIS_REPLY_ERROR ? REASON_CLAIM_REFUSED : REASON_STORE_AWAY, wrong);
        return;
    }
    journal_init(&c->journal, c->w, c->sid, c->stream_sid, c->claim.epoch, c->claim.seq, on_journal, c);
    metric_add(&c->w->metrics.calls_claimed, 1);
    if (c->claim.epoch > 1)
        metric_add(&c->w->metrics.calls_resumed, 1);
    if (c->claim.history.count > 0) {
        c->past_greeting = true;
        c->rejoin = RESUME_HINT;
    } else if (strncmp(c->claim.context.answered_by, "machine", 7) == 0) {
        leave_message(c);
        if (!*c->claim.context.greeting)
            call_end(c, REASON_VOICEMAIL, "");
    }
}

/* ---- the machine ---- */

static void arm_deadline(struct call *c, int seconds)
{
    struct timeval tv = {seconds, 0};
    event_del(&c->deadline);
    if (seconds > 0)
        event_add(&c->deadline, &tv);
}

static void release(void *arg)
{
    free(arg);
}

static void forget(struct call *c)
{
    struct worker *w = c->w;
    *(c->prev ? &c->prev->next : &w->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    worker_call_over(w);
    ticket_drop(c->claiming);
    ticket_drop(c->late.ticket);
    conversation_forget_answers(c);
    journal_release(&c->journal);
    call_tools_release(c);
    turns_release(&c->turns);
    claim_release(&c->claim);
    greeting_release(c);
    free(c->tail);
    free(c->reorder);
    worker_defer(w, &c->deferred, release, c);
}

/* The end is known to Redis (or cannot be): only now may the carrier ask what comes after. */
static void hang_up(struct call *c)
{
    struct ws_conn *stream = c->stream;
    c->stream = NULL;
    ws_close(stream, reasons[c->reason].close_code, reasons[c->reason].name);
    if (stream && !c->carrier->ends_call_on_close) {
        metric_add(&c->w->metrics.calls_left_up, 1);
        log_warn(c->sid, "the carrier keeps the call up: it ends through the carrier's API",
                 log_str("carrier", c->carrier->name), log_str("verdict", reasons[c->reason].verdict));
    }
    log_info(c->sid, "call ended", log_str("reason", reasons[c->reason].name), log_int("turns", c->turn_count),
             log_real("seconds", c->started_ms ? (double)(clock_mono_ms() - c->started_ms) / 1e3 : 0));
    metric_add(&c->w->metrics.ended[c->reason], 1);
    forget(c);
}

static void finish_journal(struct call *c)
{
    char metrics[384], verdict[48];
    if (c->reason == REASON_DRAINED) {
        journal_leave(&c->journal);
        return;
    }
    snprintf(verdict, sizeof verdict, "%s%s", reasons[c->reason].verdict,
             c->reason == REASON_AGENT_TRANSFER ? c->transfer_to : "");
    snprintf(metrics, sizeof metrics,
             "{\"seconds\":%.1f,\"turns\":%" PRId64 ",\"barge_ins\":%" PRId64 ",\"first_audio_ms\":%" PRId64
             ",\"worker\":\"%.128s\"}",
             (double)(clock_mono_ms() - c->started_ms) / 1e3, c->turn_count, c->barge_in_count, c->first_audio_ms,
             c->w->id);
    journal_end(&c->journal, reasons[c->reason].name, verdict, metrics);
}

/* The greeting is over: the FULL prompt takes over, and the AI learns what the caller heard if it did
 * not say it itself. */
static void leave_greeting(struct call *c)
{
    c->past_greeting = true;
    if (c->greeting.cached && !c->greeting.told)
        conversation_tell_greeting(c);
    if (c->machine) {
        call_part(c, REASON_VOICEMAIL);
        return;
    }
    upgrade_prompt(c);
    call_enter(c, CALL_TALKING);
}

static void call_enter(struct call *c, enum call_state next)
{
    log_debug(c->sid, "state", log_str("from", state_names[c->state]), log_str("to", state_names[next]));
    c->state = next;
    arm_deadline(c, state_seconds[next]);
    switch (next) {
    case CALL_ACCEPTED:
    case CALL_CLAIMING:
    case CALL_PARTING:
        break;
    case CALL_DIALLING:
        if (!c->past_greeting && !c->greeting.cached)
            greeting_look_up(c);
        ai_leg_open(c);
        break;
    case CALL_GREETING:
        if (!c->greeting.cached && !c->greeting.ticket)
            greeting_ask(c);
        break;
    case CALL_TALKING:
        if (c->rejoin)
            conversation_answer(c, c->rejoin);
        c->rejoin = NULL;
        break;
    case CALL_LISTENING:
        conversation_hung_up(c);
        break;
    case CALL_ENDING:
        ai_leg_close(c);
        call_tools_release(c);
        conversation_journal_turns(c, true);
        finish_journal(c);
        break;
    case CALL_GONE:
        ai_leg_close(c);
        hang_up(c);
        break;
    }
}

/* Every end comes through here once, with one reason. */
void call_end(struct call *c, enum call_reason why, const char *detail)
{
    bool claimed = c->journal.w != NULL, listen;
    if (c->state >= CALL_ENDING)
        return;
    listen = why == REASON_CARRIER_STOP && c->state < CALL_LISTENING && conversation_words_to_come(c);
    c->reason = why;
    if (*detail)
        log_warn(c->sid, "call is ending", log_str("reason", reasons[why].name), log_str("detail", detail),
                 log_str("state", state_names[c->state]));
    if (listen)
        call_enter(c, CALL_LISTENING);
    else
        call_enter(c, claimed && why != REASON_FENCED ? CALL_ENDING : CALL_GONE);
}

/* The AI session was lost, or could not be had. The call goes on without one for a while. */
static void on_ai_lost(struct call *c, const struct call_event *ev)
{
    log_warn(c->sid, "AI session lost", log_str("why", ev->why), log_str("state", state_names[c->state]));
    switch (c->state) {
    case CALL_DIALLING:
        ai_leg_close(c);
        if (ev->permanent)
            call_end(c, REASON_AI_REFUSED, ev->why);
        else
            ai_leg_redial(c);
        break;
    case CALL_GREETING:
    case CALL_TALKING:
        ai_leg_replace(c);
        call_enter(c, CALL_DIALLING);
        break;
    case CALL_PARTING:
        ai_leg_lost(c); /* what it has said already is heard to the end */
        if (call_silent(c))
            call_end(c, c->parting, ev->why);
        break;
    case CALL_LISTENING:
        call_enter(c, CALL_ENDING);
        break;
    case CALL_ACCEPTED:
    case CALL_CLAIMING:
    case CALL_ENDING:
    case CALL_GONE:
        break; /* no session in these */
    }
}

static void on_timeout(struct call *c)
{
    switch (c->state) {
    case CALL_ACCEPTED:
        call_end(c, REASON_START_TIMEOUT, "the carrier did not send start");
        break;
    case CALL_CLAIMING:
        call_end(c, REASON_STORE_AWAY, "Redis did not answer the claim");
        break;
    case CALL_DIALLING:
        call_end(c, REASON_AI_UNREACHABLE, "the AI session was not ready in time");
        break;
    case CALL_PARTING:
        call_end(c, c->parting, "the goodbye did not play out in time");
        break;
    case CALL_LISTENING:
        call_enter(c, CALL_ENDING);
        break;
    case CALL_ENDING:
        log_error(c->sid, "the end is not in Redis; the reaper will end the call");
        call_enter(c, CALL_GONE);
        break;
    case CALL_GREETING:
    case CALL_TALKING:
    case CALL_GONE:
        break; /* no deadline */
    }
}

/* Where one message is refused, hundreds may be: the first is logged, all are counted. */
static void on_carrier_refused(struct call *c, const struct carrier_event *ev)
{
    metric_add(&c->w->metrics.carrier_refused, 1);
    if (c->refusals++ == 0)
        log_warn(c->sid, "the carrier refused a message", log_int("code", (int64_t)ev->code));
}

/* Why the carrier's socket went, by the rule it broke. */
static enum call_reason lost_reason(enum peer_fault fault)
{
    switch (fault) {
    case FAULT_NONE:
    case FAULT_HTTP:
    case FAULT_TIMEOUT:
        return REASON_CARRIER_LOST;
    case FAULT_PROTOCOL:
    case FAULT_UNSUPPORTED:
    case FAULT_BAD_UTF8:
    case FAULT_TOO_BIG:
        return REASON_CARRIER_PROTOCOL;
    case FAULT_FLOOD:
        return REASON_CARRIER_FLOOD;
    case FAULT_SLOW:
        return REASON_CARRIER_SLOW;
    case PEER_FAULT_COUNT:
        break;
    }
    return REASON_CARRIER_LOST;
}

/* What can happen in any state. true: it was that. */
static bool call_on_anywhere(struct call *c, const struct call_event *ev)
{
    switch (ev->kind) {
    case CALL_EV_CARRIER_LOST:
        call_end(c, lost_reason(ev->fault), ev->why);
        return true;
    case CALL_EV_AI_LOST:
        on_ai_lost(c, ev);
        return true;
    case CALL_EV_TIMEOUT:
        on_timeout(c);
        return true;
    case CALL_EV_HAND_OVER:
        call_end(c, REASON_DRAINED, "");
        return true;
    case CALL_EV_JOURNAL:
        if (ev->outcome == JOURNAL_FENCED && c->state != CALL_ENDING)
            call_end(c, REASON_FENCED, "another worker has the call");
        else
            call_enter(c, CALL_GONE);
        return true;
    case CALL_EV_CARRIER:
        if (ev->carrier->kind == CARRIER_BAD)
            call_end(c, REASON_CARRIER_PROTOCOL, ev->carrier->error);
        else if (ev->carrier->kind == CARRIER_STOP)
            call_end(c, REASON_CARRIER_STOP, "");
        else if (ev->carrier->kind == CARRIER_REFUSED)
            on_carrier_refused(c, ev->carrier);
        else if (ev->carrier->kind == CARRIER_START && c->state != CALL_ACCEPTED)
            call_end(c, REASON_CARRIER_PROTOCOL, "start came twice");
        else if (ev->carrier->kind == CARRIER_AUDIO && !media_in_time(c, ev->carrier))
            call_end(c, REASON_CARRIER_FLOOD, "far more audio than time has passed");
        else
            return false;
        return true;
    case CALL_EV_CONTEXT:
        if (c->state == CALL_TALKING) /* in other states the upgrade is still to come */
            upgrade_prompt(c);
        return true;
    case CALL_EV_AI:
    case CALL_EV_GREETING:
    case CALL_EV_CLAIM:
    case CALL_EV_AI_OPEN:
        return false;
    }
    return false;
}

/* While the conversation runs: audio in, what was played, and what the AI says. */
static void call_converse(struct call *c, const struct call_event *ev)
{
    if (ev->kind == CALL_EV_AI)
        conversation_on_ai(c, ev->ai);
    else if (ev->kind == CALL_EV_CARRIER && ev->carrier->kind == CARRIER_AUDIO)
        media_from_caller(c, ev->carrier);
    else if (ev->kind == CALL_EV_CARRIER && ev->carrier->kind == CARRIER_PLAYED)
        conversation_on_played(c, ev->carrier->mark);
    else if (ev->kind == CALL_EV_CARRIER && ev->carrier->kind == CARRIER_DTMF)
        call_watch_digit(c, ev->carrier->digit);
}

static bool is_carrier(const struct call_event *ev, enum carrier_kind kind)
{
    return ev->kind == CALL_EV_CARRIER && ev->carrier->kind == kind;
}

static bool is_ai(const struct call_event *ev, enum ai_kind kind)
{
    return ev->kind == CALL_EV_AI && ev->ai->kind == kind;
}

/* What the cache said. Whoever waits for the greeting goes on: with the audio, or by asking the AI. */
static void on_greeting(struct call *c, const redisReply *reply)
{
    bool hit = reply && reply->type == REDIS_REPLY_STRING && reply->len > 0;
    if (hit)
        greeting_play(c, reply);
    else if (c->state == CALL_GREETING)
        greeting_ask(c);
}

/* While the AI is dialled the carrier's stream runs on; what plays (the cached greeting, the rest of
 * an answer) is heard. */
static void while_dialling(struct call *c, const struct call_event *ev)
{
    if (ev->kind == CALL_EV_GREETING)
        on_greeting(c, ev->reply);
    else if (ev->kind == CALL_EV_AI_OPEN)
        ai_leg_configure(c);
    else if (is_ai(ev, AI_REFUSED)) /* the session would speak 24 kHz PCM: noise on a phone */
        ai_leg_refused(c, ev->ai->error);
    else if (ev->kind == CALL_EV_CARRIER)
        call_converse(c, ev);
}

static void on_configured(struct call *c, const struct ai_event *ev)
{
    int64_t ready_ms = clock_mono_ms() - c->started_ms;
    if (*ev->session)
        conversation_note_session(c, ev->session);
    c->ai_tries = 0;
    evtimer_del(&c->redial);
    if (!c->configured) {
        c->configured = true;
        metric_observe_us(&c->w->metrics.ai_ready_seconds, ready_ms * 1000);
        log_info(c->sid, "call started", log_int("epoch", (int64_t)c->claim.epoch), log_int("ai_ms", ready_ms));
    } else {
        log_info(c->sid, "AI session replaced", log_int("turns", c->claim.history.count));
    }
    media_send_tail(c);
    call_enter(c, c->past_greeting ? CALL_TALKING : CALL_GREETING);
}

/* Over when it has been heard, or cut: whoever spoke it, cache or AI. */
static bool greeting_over(const struct call *c)
{
    return !c->greeting.ticket && call_silent(c);
}

/* Whoever speaks to a call that is about to end wants to go on with it. */
static bool changes_mind(const struct call *c, const struct call_event *ev)
{
    return is_ai(ev, AI_SPEECH_STARTED) && (c->parting == REASON_AGENT_HANGUP || c->parting == REASON_SILENCE);
}

static void while_parting(struct call *c, const struct call_event *ev)
{
    call_converse(c, ev);
    if (c->state != CALL_PARTING)
        return;
    if (is_carrier(ev, CARRIER_PLAYED))
        arm_deadline(c, state_seconds[CALL_PARTING]); /* it plays: however long it is */
    if (changes_mind(c, ev)) {
        log_info(c->sid, "the caller speaks on");
        call_enter(c, CALL_TALKING);
    } else if (call_silent(c)) {
        call_end(c, c->parting, "");
    }
}

static void while_listening(struct call *c, const struct call_event *ev)
{
    if (is_ai(ev, AI_CALLER_TRANSCRIPT) || is_ai(ev, AI_SPEECH_STOPPED))
        conversation_on_ai(c, ev->ai);
    if (!conversation_words_to_come(c))
        call_enter(c, CALL_ENDING);
}

void call_on(struct call *c, const struct call_event *ev)
{
    if (c->state == CALL_LISTENING && (ev->kind == CALL_EV_CARRIER || ev->kind == CALL_EV_CARRIER_LOST))
        return; /* nobody is there */
    if (c->state == CALL_GONE || call_on_anywhere(c, ev))
        return;
    switch (c->state) {
    case CALL_ACCEPTED:
        if (is_carrier(ev, CARRIER_START))
            on_start(c, ev->carrier);
        else if (!is_carrier(ev, CARRIER_NOTHING))
            call_end(c, REASON_CARRIER_PROTOCOL, "the first thing must be start");
        break;
    case CALL_CLAIMING:
        if (is_carrier(ev, CARRIER_AUDIO))
            media_from_caller(c, ev->carrier);
        else if (ev->kind == CALL_EV_CLAIM) {
            on_claim(c, ev->reply);
            if (c->state == CALL_CLAIMING)
                call_enter(c, CALL_DIALLING);
        }
        break;
    case CALL_DIALLING:
        if (is_ai(ev, AI_CONFIGURED))
            on_configured(c, ev->ai);
        else
            while_dialling(c, ev);
        break;
    case CALL_GREETING:
        if (ev->kind == CALL_EV_GREETING)
            on_greeting(c, ev->reply);
        else
            call_converse(c, ev);
        if (c->state == CALL_GREETING && greeting_over(c) && !late_context_wait(c))
            leave_greeting(c);
        break;
    case CALL_TALKING:
        call_converse(c, ev);
        break;
    case CALL_PARTING:
        while_parting(c, ev);
        break;
    case CALL_LISTENING:
        while_listening(c, ev);
        break;
    case CALL_ENDING: /* only the journal's outcome counts, and it is handled above */
    case CALL_GONE:
        break;
    }
}

void call_part(struct call *c, enum call_reason why)
{
    if (c->state != CALL_GREETING && c->state != CALL_TALKING)
        return;
    c->parting = why;
    conversation_forget_answers(c);
    call_enter(c, CALL_PARTING);
}

bool call_silent(const struct call *c)
{
    return !c->answering && !c->answer_wanted && playout_idle(&c->playout);
}

bool call_may_hand_over(const struct call *c)
{
    switch (c->state) {
    case CALL_ACCEPTED:
    case CALL_PARTING: /* is about to end anyway */
    case CALL_LISTENING:
    case CALL_ENDING:
    case CALL_GONE:
        return false;
    case CALL_CLAIMING:
        return false; /* a moment later it is clear what there is to hand over */
    case CALL_DIALLING: /* what plays on without an AI is heard to its end */
    case CALL_GREETING:
    case CALL_TALKING:
        return call_silent(c) && !c->speaking && !c->answer_wanted && !c->tools && c->turns.count == 0;
    }
    return false;
}

/* ---- the carrier leg, and life ---- */

static void on_carrier_event(struct call *c, const struct carrier_event *ev)
{
    call_on(c, &(struct call_event){.kind = CALL_EV_CARRIER, .carrier = ev});
}

/* Audio of a carrier that does not keep the order: a piece may have to wait, or let others go. */
static void on_unordered_audio(struct call *c, const struct carrier_event *ev)
{
    struct reorder_piece *piece;
    enum reorder_verdict verdict;
    if (!c->reorder)
        c->reorder = calloc(1, sizeof *c->reorder);
    if (!c->reorder) {
        on_carrier_event(c, ev);
        return;
    }
    verdict = reorder_take(c->reorder, ev->chunk, ev->timestamp_ms, ev->audio, ev->audio_len);
    if (verdict == REORDER_NOW)
        on_carrier_event(c, ev);
    else
        metric_add(verdict == REORDER_KEPT ? &c->w->metrics.frames_reordered : &c->w->metrics.frames_dropped, 1);
    while (c->state != CALL_GONE && (piece = reorder_next(c->reorder)) != NULL)
        on_carrier_event(c, &(struct carrier_event){.kind = CARRIER_AUDIO, .chunk = piece->chunk,
                                                    .timestamp_ms = piece->timestamp_ms, .audio = piece->audio,
                                                    .audio_len = piece->len});
}

static void on_carrier_text(struct ws_conn *ws, char *text, size_t len, void *arg)
{
    struct call *c = arg;
    struct carrier_event ev;
    (void)ws;
    c->carrier->parse(text, len, &ev);
    if (ev.kind == CARRIER_AUDIO && ev.chunk != 0 && !c->carrier->keeps_order)
        on_unordered_audio(c, &ev);
    else
        on_carrier_event(c, &ev);
}

static void on_carrier_open(struct ws_conn *ws, void *arg)
{
    (void)ws;
    (void)arg; /* the state ACCEPTED began with the request */
}

static void on_carrier_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct call *c = arg;
    char detail[192];
    c->stream = NULL;
    snprintf(detail, sizeof detail, "%u %s", (unsigned)code, why);
    call_on(c, &(struct call_event){.kind = CALL_EV_CARRIER_LOST, .why = detail, .fault = ws_fault(ws)});
}

static const struct ws_handler carrier_events = {NULL, on_carrier_open, on_carrier_text, on_carrier_closed};

static void on_redial(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ai_leg_close(arg); /* one that did not answer in time */
    ai_leg_open(arg);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    call_on(arg, &(struct call_event){.kind = CALL_EV_TIMEOUT});
}

struct call *call_new(struct worker *w, const struct carrier *carrier, struct ws_conn *ws)
{
    struct call *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    c->w = w;
    c->carrier = carrier;
    c->stream = ws;
    c->next = w->calls;
    if (c->next)
        c->next->prev = c;
    w->calls = c;
    w->call_count++;
    metric_set(&w->metrics.calls_active, (uint64_t)w->call_count);
    evtimer_assign(&c->deadline, w->base, on_deadline, c);
    evtimer_assign(&c->redial, w->base, on_redial, c);
    ws_set_handler(ws, &carrier_events, c);
    arm_deadline(c, state_seconds[CALL_ACCEPTED]);
    return c;
}

void call_redis_up(struct call *c)
{
    if (c->journal.w)
        journal_kick(&c->journal);
}

void call_tick(struct call *c)
{
    if (c->state < CALL_DIALLING || c->state > CALL_PARTING)
        return;
    if (conversation_answer_over(c))
        call_on(c, &(struct call_event){.kind = CALL_EV_AI, .ai = &(struct ai_event){.kind = AI_RESPONSE_DONE}});
    if (c->state > CALL_PARTING)
        return;
    late_context_look(c);
    greeting_hurry(c, clock_mono_ms());
    conversation_tick(c);
    if (c->state == CALL_GREETING || c->state == CALL_TALKING)
        call_watch_look(c);
}

void call_drop(struct call *c)
{
    c->reason = REASON_DRAINED;
    if (c->state != CALL_GONE)
        call_enter(c, CALL_GONE);
}
