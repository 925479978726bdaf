#include "worker/call/conversation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/ai_leg.h"
#include "worker/call/answers.h"
#include "worker/call/call_turns.h"
#include "worker/call/greeting.h"
#include "worker/call/media.h"
#include "worker/call/retell.h"
#include "worker/tools/call_tools.h"

/* The caller speaks over us: silence at once, and the AI remembers only what was heard. */
static void barge_in(struct call *c)
{
    int last = c->playout.item_count - 1;
    int64_t heard = playout_item_heard_ms(&c->playout, last, clock_mono_ms());
    log_info(c->sid, "barge-in", log_int("heard_ms", heard),
             log_int("sent_ms", playout_item_sent_ms(&c->playout, last)));
    metric_add(&c->w->metrics.barge_ins, 1);
    c->barge_in_count++;
    snprintf(c->cut_item, sizeof c->cut_item, "%s", c->playout.items[last].id);
    call_turns_cut(c, true);
    media_clear(c);
    call_turns_journal(c, false);
}

static void on_speech_started(struct call *c, const struct ai_event *ev)
{
    if (c->machine) /* what it said before we knew is no reason to fall silent */
        return;
    media_speaking(c, true);
    watch_caller(&c->watch);
    if (c->answer.under_way) /* the provider cancels it; what is on its way here is not played */
        snprintf(c->dropped_response, sizeof c->dropped_response, "%s", c->answer.id);
    c->answer.with_words = c->answer.wanted;
    if (c->playout.item_count > 0)
        barge_in(c);
    call_turns_drop_unsaid(c);
    call_turns_open(c, true, ev->item);
}

static void on_speech_stopped(struct call *c, const struct ai_event *ev)
{
    struct turn *turn = turns_find(&c->turns, ev->item);
    media_speaking(c, false);
    if (turn)
        turn->ended_ms = clock_wall_ms();
}

static void on_caller_transcript(struct call *c, const struct ai_event *ev)
{
    struct turn *turn = call_turns_open(c, true, ev->item);
    turn_replace(turn, ev->text ? ev->text : "");
    turn->complete = true;
    if (c->w->provider->agent)
        media_speaking(c, false); /* it has no other word for that */
    media_understood(c);
    call_turns_journal(c, false);
}

/* The caller speaks, and the agent has not decided yet whether that is an interruption. */
static void on_speech_noticed(struct call *c, const struct ai_event *ev)
{
    if (c->machine)
        return;
    media_speaking(c, true);
    watch_caller(&c->watch);
    call_turns_open(c, true, ev->item);
}

/* The turn may have left by now, cut by our own marks. */
static void on_heard(struct call *c, const struct ai_event *ev)
{
    struct turn *turn = turns_find(&c->turns, ev->item);
    if (!turn)
        return;
    turn_replace(turn, ev->text ? ev->text : "");
    turn->judged = true;
    turn->complete = turn->complete || turn->interrupted;
    call_turns_journal(c, false);
}

static void on_hung_up(struct call *c)
{
    c->answer.under_way = false;
    answers_forget(c); /* nobody is there to say it */
    media_answer_done(c);
    call_part(c, REASON_AGENT_HANGUP);
}

static bool dropped(const struct call *c, const struct ai_event *ev)
{
    return c->answer.muted || (*c->dropped_response && strcmp(ev->response, c->dropped_response) == 0);
}

static void drop_late_audio(struct call *c, const struct ai_event *ev)
{
    metric_add(&c->w->metrics.late_audio_dropped, 1);
    if (!c->w->provider->truncate || strcmp(ev->item, c->cut_item) == 0)
        return;
    snprintf(c->unheard_item, sizeof c->unheard_item, "%s", ev->item);
    c->unheard_index = ev->content_index;
}

/* What the session before left unsaid is what this one says first. */
static struct turn *open_answer(struct call *c, const char *item)
{
    free(c->unsaid);
    c->unsaid = NULL;
    return call_turns_open(c, false, item);
}

static void on_audio(struct call *c, const struct ai_event *ev)
{
    struct turn *turn;
    answers_go_on(c);
    if (dropped(c, ev)) {
        drop_late_audio(c, ev);
        return;
    }
    if (c->w->provider->agent)
        media_speaking(c, false);
    c->answer.perceptible = true;
    turn = turns_find(&c->turns, ev->item);
    if (!turn)
        turn = open_answer(c, ev->item);
    turn->sounded = true;
    if (c->state == CALL_GREETING)
        greeting_begins(c);
    media_to_caller(c, ev);
    if (c->state == CALL_GREETING)
        greeting_record(c, ev);
}

static void on_text(struct call *c, const struct ai_event *ev)
{
    struct turn *turn;
    answers_go_on(c);
    if (dropped(c, ev))
        return;
    turn = open_answer(c, ev->item);
    if (ev->kind == AI_TEXT)
        turn_append(turn, ev->text ? ev->text : "");
    else
        turn_replace(turn, ev->text ? ev->text : "");
    if (ev->kind == AI_TEXT_DONE && c->state == CALL_GREETING)
        greeting_said(c, turn->text ? turn->text : "");
}

/* An item that was made entirely of late audio: the AI must not believe it was heard. */
static void forget_unheard(struct call *c)
{
    if (*c->unheard_item)
        ai_leg_send(c, c->w->provider->truncate(c->unheard_item, c->unheard_index, 0));
    *c->unheard_item = '\0';
}

static void on_answer_done(struct call *c, const struct ai_event *ev)
{
    c->ai_memory.answer_quiet = true;
    c->answer.under_way = false;
    media_answer_done(c);
    if (!c->w->provider->agent) /* for those it is our own conclusion */
        call_turns_drop_unsaid(c);
    call_turns_finish_heard(c);
    forget_unheard(c);
    if (c->state == CALL_GREETING && ev->status == AI_COMPLETED)
        greeting_store(c);
    else
        greeting_forget(c);
    if (ev->status == AI_FAILED || (ev->status == AI_INCOMPLETE && !c->answer.perceptible)) {
        answers_failed(c, ev);
        return;
    }
    if (ev->status == AI_COMPLETED)
        c->answer.failures = 0;
    free(c->answer.asked_with);
    c->answer.asked_with = NULL;
    answers_next(c);
}

static void on_refused(struct call *c, const struct ai_event *ev)
{
    static const char busy[] = "conversation_already_has_active_response";
    metric_add(&c->w->metrics.ai_refused, 1);
    if (strncmp(ev->error, busy, sizeof busy - 1) == 0) {
        answers_again(c); /* turn detection was faster; ask again when that answer is done */
        return;
    }
    log_warn(c->sid, "the AI refused an event", log_str("error", ev->error));
}

void conversation_on_ai(struct call *c, const struct ai_event *ev)
{
    c->answer.sign_ms = worker_now_ms(c->w);
    switch (ev->kind) {
    case AI_AUDIO:
        on_audio(c, ev);
        break;
    case AI_LATE_AUDIO:
        metric_add(&c->w->metrics.late_audio_dropped, 1);
        break;
    case AI_TEXT:
    case AI_TEXT_DONE:
        on_text(c, ev);
        break;
    case AI_HEARD:
        on_heard(c, ev);
        break;
    case AI_SPEECH_NOTICED:
        on_speech_noticed(c, ev);
        break;
    case AI_SPEECH_STARTED:
        on_speech_started(c, ev);
        break;
    case AI_SPEECH_STOPPED:
        on_speech_stopped(c, ev);
        break;
    case AI_CALLER_TRANSCRIPT:
        on_caller_transcript(c, ev);
        break;
    case AI_RESPONSE_STARTED:
        answers_begun(c, ev->response);
        break;
    case AI_RESPONSE_DONE:
        on_answer_done(c, ev);
        break;
    case AI_TOOL_CALL:
        answers_go_on(c);
        c->answer.perceptible = true;
        call_tools_run(c, ev);
        break;
    case AI_HUNG_UP:
        on_hung_up(c);
        break;
    case AI_REFUSED:
        on_refused(c, ev);
        break;
    case AI_CONFIGURED:
    case AI_REPLY: /* sent back already */
    case AI_NOTHING:
    case AI_BAD: /* ended the call before it came here */
        break;
    }
}

void conversation_on_played(struct call *c, const char *mark)
{
    if (playout_marked(&c->playout, mark, clock_mono_ms()))
        call_turns_finish_heard(c);
}

void conversation_hung_up(struct call *c)
{
    call_turns_cut(c, false);
    call_turns_drop_unsaid(c);
    playout_clear(&c->playout);
    answers_forget(c);
    media_end_words(c);
}

/* Words of the caller that no session will transcribe any more; the tail lets the next one hear them. Nor does
 * one say any more what was heard of an answer that was cut. */
static void expect_no_words(struct call *c)
{
    for (int i = 0; i < c->turns.count; i++) {
        struct turn *turn = &c->turns.open[i];
        if (turn->caller || turn->interrupted)
            turn->complete = true;
    }
}

void conversation_session_lost(struct call *c)
{
    expect_no_words(c);
    if (c->w->provider->agent)
        retell_keep_unsaid(c);
    c->answer.under_way = false;
    *c->answer.id = *c->dropped_response = *c->unheard_item = '\0';
    answers_forget(c);
    call_turns_drop_unsaid(c);
    call_turns_finish_heard(c);
}

void conversation_tick(struct call *c)
{
    int64_t now = clock_mono_ms();
    if (turns_waiting(&c->turns))
        call_turns_journal(c, false);
    media_forget_old_words(c, now);
    if (answers_overdue(c, now))
        call_on(c, &(struct call_event){.kind = CALL_EV_AI_LOST, .why = "no sign of the answer asked for"});
    else
        answers_next(c);
}
