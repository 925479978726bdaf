/* The state machine of a call. Read call_enter (what a state does first), call_on (what can happen
 * in it) and call_end (how it stops): that is every call. */
#include "worker/call/call.h"

#include <stdlib.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/ai_leg.h"
#include "worker/call/ai_standby.h"
#include "worker/call/answers.h"
#include "worker/call/call_close.h"
#include "worker/call/call_start.h"
#include "worker/call/call_turns.h"
#include "worker/call/call_watch.h"
#include "worker/call/carrier_leg.h"
#include "worker/call/conversation.h"
#include "worker/call/greeting.h"
#include "worker/call/late_context.h"
#include "worker/call/machine.h"
#include "worker/call/media.h"
#include "worker/call/retell.h"
#include "worker/tools/call_tools.h"

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

static void call_enter(struct call *c, enum call_state next);

static void arm_deadline(struct call *c, int seconds)
{
    struct timeval tv = {seconds, 0};
    event_del(&c->deadline);
    if (seconds > 0)
        event_add(&c->deadline, &tv);
}

/* The greeting is over: the FULL prompt takes over, and the AI learns what the caller heard if it did
 * not say it itself. */
static void leave_greeting(struct call *c)
{
    call_greeted(c);
    if (c->greeting.cached && !c->greeting.told)
        retell_greeting(c);
    if (c->machine) {
        call_part(c, REASON_VOICEMAIL);
        return;
    }
    ai_leg_upgrade_prompt(c);
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
        if (c->late.owed)
            ai_leg_upgrade_prompt(c);
        if (c->machine)
            call_part(c, REASON_VOICEMAIL); /* the message is all there is to say to it */
        if (c->rejoin)
            answers_ask(c, c->rejoin);
        c->rejoin = NULL;
        break;
    case CALL_LISTENING:
        conversation_hung_up(c);
        break;
    case CALL_ENDING:
        ai_leg_close(c);
        call_tools_release(c);
        call_turns_journal(c, true);
        call_close_journal(c);
        break;
    case CALL_GONE:
        ai_leg_close(c);
        call_close(c);
        break;
    }
}

/* Every end comes through here once, with one reason. */
void call_end(struct call *c, enum call_reason why, const char *detail)
{
    bool claimed = c->journal.w != NULL, listen;
    if (c->state >= CALL_ENDING)
        return;
    listen = why == REASON_CARRIER_STOP && c->state < CALL_LISTENING && call_turns_words_to_come(c);
    c->reason = why;
    if (*detail)
        log_warn(c->sid, "call is ending", log_str("reason", call_reason(why)->name), log_str("detail", detail),
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

/* A call whose end is decided has nothing that another worker could go on with: it ends here and now. */
static void hand_over(struct call *c)
{
    if (c->state == CALL_PARTING) {
        call_end(c, c->parting, "");
    } else if (c->state == CALL_LISTENING) {
        call_enter(c, CALL_ENDING);
    } else {
        c->left_idle = call_may_hand_over(c) && !c->rejoin && !answers_owed(c);
        call_end(c, REASON_DRAINED, "");
    }
}

/* What can happen in any state. true: it was that. */
static bool call_on_anywhere(struct call *c, const struct call_event *ev)
{
    switch (ev->kind) {
    case CALL_EV_CARRIER_LOST:
        call_end(c, carrier_leg_lost_reason(ev->fault), ev->why);
        return true;
    case CALL_EV_AI_LOST:
        on_ai_lost(c, ev);
        return true;
    case CALL_EV_TIMEOUT:
        on_timeout(c);
        return true;
    case CALL_EV_HAND_OVER:
        hand_over(c);
        return true;
    case CALL_EV_JOURNAL:
        if (ev->outcome == JOURNAL_KEPT)
            call_tools_kept(c);
        else if (ev->outcome == JOURNAL_FENCED && c->state != CALL_ENDING)
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
            carrier_leg_refused(c, ev->carrier);
        else if (ev->carrier->kind == CARRIER_START && c->state != CALL_ACCEPTED)
            call_end(c, REASON_CARRIER_PROTOCOL, "start came twice");
        else if (ev->carrier->kind == CARRIER_AUDIO && !media_in_time(c, ev->carrier))
            call_end(c, REASON_CARRIER_FLOOD, "far more audio than time has passed");
        else
            return false;
        return true;
    case CALL_EV_MACHINE:
        if (c->state == CALL_GREETING || c->state == CALL_TALKING)
            machine_found(c);
        return true;
    case CALL_EV_CONTEXT:
        c->late.owed = c->past_greeting; /* else the upgrade is still to come */
        if (c->state == CALL_TALKING)
            ai_leg_upgrade_prompt(c);
        call_tools_context(c);
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

/* While the AI is dialled the carrier's stream runs on; what plays (the cached greeting, the rest of
 * an answer) is heard. */
static void while_dialling(struct call *c, const struct call_event *ev)
{
    if (ev->kind == CALL_EV_GREETING) {
        greeting_arrived(c, ev->reply);
    } else if (ev->kind == CALL_EV_AI_OPEN) {
        ai_leg_configure(c);
    } else if (is_ai(ev, AI_CONFIGURED)) {
        ai_leg_ready(c, ev->ai);
        call_enter(c, c->past_greeting ? CALL_TALKING : CALL_GREETING);
    } else if (is_ai(ev, AI_REFUSED) && ev->ai->transient) {
        on_ai_lost(c, &(struct call_event){.kind = CALL_EV_AI_LOST, .why = ev->ai->error});
    } else if (is_ai(ev, AI_REFUSED)) {
        ai_leg_refused(c, ev->ai->error); /* the session would speak 24 kHz PCM: noise on a phone */
    } else if (ev->kind == CALL_EV_CARRIER) {
        call_converse(c, ev);
    }
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
    if (!call_turns_words_to_come(c))
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
        if (is_carrier(ev, CARRIER_START)) {
            if (call_start(c, ev->carrier))
                call_enter(c, CALL_CLAIMING);
        } else if (!is_carrier(ev, CARRIER_NOTHING)) {
            call_end(c, REASON_CARRIER_PROTOCOL, "the first thing must be start");
        }
        break;
    case CALL_CLAIMING:
        if (is_carrier(ev, CARRIER_AUDIO))
            media_from_caller(c, ev->carrier);
        else if (ev->kind == CALL_EV_CLAIM && call_start_claimed(c, ev->reply))
            call_enter(c, CALL_DIALLING);
        break;
    case CALL_DIALLING:
        while_dialling(c, ev);
        break;
    case CALL_GREETING:
        if (ev->kind == CALL_EV_GREETING)
            greeting_arrived(c, ev->reply);
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

void call_greeted(struct call *c)
{
    c->past_greeting = true;
    context_greeted(&c->claim.context);
}

void call_part(struct call *c, enum call_reason why)
{
    if (c->state != CALL_GREETING && c->state != CALL_TALKING)
        return;
    c->parting = why;
    answers_forget(c);
    call_enter(c, CALL_PARTING);
}

bool call_silent(const struct call *c)
{
    return !c->answer.under_way && !c->answer.wanted && playout_idle(&c->playout);
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
        return call_silent(c) && !c->speaking && !c->words_unheard && !c->tools && c->turns.count == 0;
    }
    return false;
}

/* ---- life ---- */

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
    c->next = w->calls;
    if (c->next)
        c->next->prev = c;
    w->calls = c;
    worker_call_came(w);
    evtimer_assign(&c->deadline, w->base, on_deadline, c);
    evtimer_assign(&c->redial, w->base, on_redial, c);
    carrier_leg_open(c, ws);
    call_enter(c, CALL_ACCEPTED);
    return c;
}

void call_displace_newcomer(struct worker *w)
{
    struct call *oldest = NULL;
    for (struct call *c = w->calls; c; c = c->next)
        oldest = c->state == CALL_ACCEPTED ? c : oldest;
    if (oldest)
        call_end(oldest, REASON_START_TIMEOUT, "newer streams need the room");
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
    if (answers_over(c))
        call_on(c, &(struct call_event){.kind = CALL_EV_AI, .ai = &(struct ai_event){.kind = AI_RESPONSE_DONE}});
    if (c->state > CALL_PARTING)
        return;
    carrier_leg_look(c, clock_mono_ms());
    late_context_look(c);
    machine_look(c);
    if (c->state > CALL_PARTING)
        return;
    call_tools_look(c);
    greeting_hurry(c, clock_mono_ms());
    conversation_tick(c);
    if (c->state == CALL_GREETING || c->state == CALL_TALKING)
        call_watch_look(c);
    if (c->state == CALL_TALKING)
        ai_standby_look(c);
}

void call_drop(struct call *c)
{
    c->reason = REASON_DRAINED;
    if (c->state != CALL_GONE)
        call_enter(c, CALL_GONE);
}
