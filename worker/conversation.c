#include "worker/conversation.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call_tools.h"
#include "worker/greeting.h"
#include "worker/media.h"

enum {
    PAST_ID_SIZE = 20,
    ANSWER_FAILURES_MAX = 2,      /* an answer is asked for twice, then the caller gets configured words */
    ANSWER_PATIENCE_MS = 10000,   /* no sign of the answer under way: the session is as good as lost */
};

/* Of agents: audio comes faster than it plays, so a pause in it means that the answer is complete. */
enum { ANSWER_QUIET_MS = 1500, ANSWER_BEGINS_MS = 8000 };

void conversation_send(struct call *c, char *text)
{
    if (!text)
        log_error(c->sid, "out of memory for a message to the AI");
    else if (c->ai)
        ws_send_text(c->ai, text, strlen(text));
    free(text);
}

static void expect_more(struct call *c, int64_t within_ms)
{
    c->answering = true;
    c->answer_sign_ms = clock_mono_ms();
    c->answer_over_ms = c->answer_sign_ms + within_ms;
}

void conversation_expect_answer(struct call *c)
{
    expect_more(c, ANSWER_BEGINS_MS);
}

bool conversation_answer_over(const struct call *c)
{
    return c->w->provider->agent && c->answering && clock_mono_ms() >= c->answer_over_ms;
}

void conversation_note_session(struct call *c, const char *id)
{
    json_t *data = json_pack("{s:s}", "conversation_id", id);
    char *text = data ? json_dumps(data, JSON_COMPACT) : NULL;
    const char *const values[] = {text};
    if (text)
        journal_append(&c->journal, JOURNAL_CALLSESSION_UPDATE, values);
    free(text);
    json_decref(data);
}

/* An agent answers by itself; only what it cannot know of is worth a message, and not while it
 * speaks. */
static void hint_agent(struct call *c, const char *instructions)
{
    if (!instructions || c->answering)
        return;
    conversation_expect_answer(c);
    conversation_send(c, c->w->provider->response(instructions));
}

/* Out of memory: an answer without its instructions is better than none. */
static void want_answer(struct call *c, const char *instructions)
{
    c->answer_wanted = true;
    if (instructions) {
        free(c->wanted_with);
        c->wanted_with = strdup(instructions);
    }
}

/* The answer that was asked for was not given. */
static void want_again(struct call *c)
{
    want_answer(c, c->wanted_with ? NULL : c->asked_with);
}

/* The one place that asks, so that never two answers are under way. */
static void ask_if_wanted(struct call *c)
{
    if (!c->answer_wanted || c->answering || !c->ai || c->state == CALL_DIALLING)
        return;
    free(c->asked_with);
    c->asked_with = c->wanted_with;
    c->wanted_with = NULL;
    c->answer_wanted = false;
    c->answering = true;
    c->answer_sign_ms = clock_mono_ms();
    conversation_send(c, c->w->provider->response(c->asked_with));
}

void conversation_answer(struct call *c, const char *instructions)
{
    if (c->w->provider->agent) {
        hint_agent(c, instructions);
        return;
    }
    if (c->state == CALL_PARTING && !instructions)
        return;
    want_answer(c, instructions);
    ask_if_wanted(c);
}

void conversation_forget_answers(struct call *c)
{
    c->answer_wanted = false;
    free(c->wanted_with);
    free(c->asked_with);
    c->wanted_with = c->asked_with = NULL;
}

static void journal_turn(struct call *c, const struct turn *turn)
{
    char started[24], ended[24];
    const char *const values[] = {turn->caller ? "caller" : "assistant", turn->text, "", started, ended,
                                  turn->interrupted ? "1" : "0"};
    snprintf(started, sizeof started, "%" PRId64, turn->started_ms);
    snprintf(ended, sizeof ended, "%" PRId64, turn->ended_ms);
    journal_append(&c->journal, JOURNAL_TURN, values);
    if (!history_add(&c->claim.history, values[0], turn->text))
        log_error(c->sid, "out of memory for the call's history");
    metric_add(turn->caller ? &c->w->metrics.turns_caller : &c->w->metrics.turns_assistant, 1);
    c->turn_count++;
}

/* What was heard of a turn, by our marks, or by the provider's word if it gives one. */
static void cut_turn(struct turn *turn, bool whole, int64_t heard_ms, int64_t sent_ms, bool word_comes)
{
    if (!whole && !turn->judged)
        turn_cut(turn, heard_ms, sent_ms);
    turn->interrupted = !whole;
    turn->complete = whole || turn->judged || !word_comes;
    turn->ended_ms = clock_wall_ms();
}

/* What still plays is over: of each turn stays what was heard. */
static void cut_to_heard(struct call *c, bool tell_ai)
{
    int64_t now = clock_mono_ms();
    for (int i = 0; i < c->playout.item_count; i++) {
        const struct playout_item *item = &c->playout.items[i];
        int64_t heard = playout_item_heard_ms(&c->playout, i, now), sent = playout_item_sent_ms(&c->playout, i);
        struct turn *turn = turns_find(&c->turns, item->id);
        /* an agent does not say that an answer is complete, but is always far ahead of the caller's ear */
        bool whole = heard >= sent && (item->complete || c->w->provider->agent);
        if (turn)
            cut_turn(turn, whole, heard, sent, tell_ai && !c->w->provider->truncate);
        if (tell_ai && c->w->provider->truncate && !whole && item->content_index != PLAYOUT_NOT_THE_AIS)
            conversation_send(c, c->w->provider->truncate(item->id, item->content_index, heard));
    }
}

/* Words run ahead of their sound. When no more is coming, those that never got one were not said. */
static void drop_unsaid(struct call *c)
{
    for (int i = 0; i < c->turns.count; i++) {
        struct turn *turn = &c->turns.open[i];
        if (turn->caller || turn->complete || turn->interrupted || turn->sounded)
            continue;
        turn_replace(turn, "");
        turn->complete = true;
    }
}

void conversation_journal_turns(struct call *c, bool all)
{
    struct turn turn;
    if (all) {
        cut_to_heard(c, false);
        drop_unsaid(c);
    }
    while (turns_take(&c->turns, all, clock_wall_ms(), &turn)) {
        journal_turn(c, &turn);
        free(turn.text);
    }
}

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
    cut_to_heard(c, true);
    media_clear(c);
    conversation_journal_turns(c, false);
}

static void on_speech_started(struct call *c, const struct ai_event *ev)
{
    media_speaking(c, true);
    watch_caller(&c->watch);
    if (c->answering) /* the provider cancels it; what is on its way here is not played */
        snprintf(c->dropped_response, sizeof c->dropped_response, "%s", c->answer_id);
    if (c->playout.item_count > 0)
        barge_in(c);
    drop_unsaid(c);
    turns_open(&c->turns, true, ev->item, clock_wall_ms());
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
    struct turn *turn = turns_open(&c->turns, true, ev->item, clock_wall_ms());
    turn_replace(turn, ev->text ? ev->text : "");
    turn->complete = true;
    if (c->w->provider->agent)
        media_speaking(c, false); /* it has no other word for that */
    media_understood(c);
    conversation_journal_turns(c, false);
}

/* What is left of its answer comes soon, or there is nothing left. */
static void agent_goes_on(struct call *c)
{
    if (c->w->provider->agent)
        expect_more(c, ANSWER_QUIET_MS);
}

/* The caller speaks, and the agent has not decided yet whether that is an interruption. */
static void on_speech_noticed(struct call *c, const struct ai_event *ev)
{
    media_speaking(c, true);
    watch_caller(&c->watch);
    turns_open(&c->turns, true, ev->item, clock_wall_ms());
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
    conversation_journal_turns(c, false);
}

static void on_hung_up(struct call *c)
{
    c->answering = false;
    media_answer_done(c);
    call_part(c, REASON_AGENT_HANGUP);
}

static bool dropped(const struct call *c, const struct ai_event *ev)
{
    return *c->dropped_response && strcmp(ev->response, c->dropped_response) == 0;
}

static void drop_late_audio(struct call *c, const struct ai_event *ev)
{
    metric_add(&c->w->metrics.late_audio_dropped, 1);
    if (strcmp(ev->item, c->cut_item) == 0)
        return;
    snprintf(c->unheard_item, sizeof c->unheard_item, "%s", ev->item);
    c->unheard_index = ev->content_index;
}

static void on_audio(struct call *c, const struct ai_event *ev)
{
    if (dropped(c, ev)) {
        drop_late_audio(c, ev);
        return;
    }
    agent_goes_on(c);
    if (c->w->provider->agent)
        media_speaking(c, false);
    turns_open(&c->turns, false, ev->item, clock_wall_ms())->sounded = true;
    media_to_caller(c, ev);
    if (c->state == CALL_GREETING)
        greeting_record(c, ev);
}

static void on_text(struct call *c, const struct ai_event *ev)
{
    struct turn *turn;
    if (dropped(c, ev))
        return;
    agent_goes_on(c);
    turn = turns_open(&c->turns, false, ev->item, clock_wall_ms());
    if (ev->kind == AI_TEXT)
        turn_append(turn, ev->text ? ev->text : "");
    else
        turn_replace(turn, ev->text ? ev->text : "");
    if (ev->kind == AI_TEXT_DONE && c->state == CALL_GREETING)
        greeting_said(c, turn->text ? turn->text : "");
}

/* Turns heard to their end may be journalled. */
static void finish_heard(struct call *c)
{
    struct playout_item item;
    while (playout_finished(&c->playout, &item)) {
        struct turn *turn = turns_find(&c->turns, item.id);
        if (turn) {
            turn->complete = true;
            turn->ended_ms = clock_wall_ms();
        }
    }
    conversation_journal_turns(c, false);
}

/* Silence is the one answer a caller must not get. */
static void answer_failed(struct call *c, const struct ai_event *ev)
{
    metric_add(&c->w->metrics.ai_failed, 1);
    c->answer_failures++;
    log_warn(c->sid, "the AI could not answer", log_str("error", ev->error), log_int("times", c->answer_failures));
    if (c->state == CALL_PARTING)
        return; /* a goodbye that cannot be said */
    if (ev->permanent || c->answer_failures >= ANSWER_FAILURES_MAX)
        call_end(c, REASON_AI_FAILED, ev->error);
    else
        want_again(c); /* conversation_tick asks, a moment later: it may be a rate limit */
}

/* An item that was made entirely of late audio: the AI must not believe it was heard. */
static void forget_unheard(struct call *c)
{
    if (*c->unheard_item)
        conversation_send(c, c->w->provider->truncate(c->unheard_item, c->unheard_index, 0));
    *c->unheard_item = '\0';
}

static void on_answer_done(struct call *c, const struct ai_event *ev)
{
    c->answering = false;
    media_answer_done(c);
    if (!c->w->provider->agent) /* for those it is our own conclusion */
        drop_unsaid(c);
    finish_heard(c);
    forget_unheard(c);
    if (c->state == CALL_GREETING && ev->status == AI_COMPLETED)
        greeting_store(c);
    else
        greeting_forget(c);
    if (ev->status == AI_FAILED) {
        answer_failed(c, ev);
        return;
    }
    if (ev->status == AI_COMPLETED)
        c->answer_failures = 0;
    free(c->asked_with);
    c->asked_with = NULL;
    ask_if_wanted(c);
}

static void on_refused(struct call *c, const struct ai_event *ev)
{
    static const char busy[] = "conversation_already_has_active_response";
    metric_add(&c->w->metrics.ai_refused, 1);
    if (strncmp(ev->error, busy, sizeof busy - 1) == 0) {
        want_again(c); /* turn detection was faster; ask again when that answer is done */
        return;
    }
    log_warn(c->sid, "the AI refused an event", log_str("error", ev->error));
}

void conversation_on_ai(struct call *c, const struct ai_event *ev)
{
    c->answer_sign_ms = clock_mono_ms();
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
        c->answering = true;
        snprintf(c->answer_id, sizeof c->answer_id, "%s", ev->response);
        break;
    case AI_RESPONSE_DONE:
        on_answer_done(c, ev);
        break;
    case AI_TOOL_CALL:
        agent_goes_on(c);
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
        finish_heard(c);
}

void conversation_caller_wrote(struct call *c, const char *item, const char *text)
{
    struct turn *turn = turns_open(&c->turns, true, item, clock_wall_ms());
    turn_replace(turn, text);
    turn->complete = true;
    conversation_send(c, c->w->provider->past_turn(item, "caller", text));
    conversation_journal_turns(c, false);
}

void conversation_greeting_plays(struct call *c, const char *text)
{
    struct turn *turn = turns_open(&c->turns, false, GREETING_ITEM, clock_wall_ms());
    turn_replace(turn, text);
    turn->sounded = true;
}

/* By now the turn is in the history, or, if words of the caller before it are missing, still open. */
void conversation_tell_greeting(struct call *c)
{
    const struct turn *open = turns_find(&c->turns, GREETING_ITEM);
    const struct history *past = &c->claim.history;
    const char *text = open ? open->text : past->count > 0 ? past->turns[past->count - 1].text : NULL;
    if (text && *text)
        conversation_send(c, c->w->provider->past_turn(GREETING_ITEM, "assistant", text));
}

void conversation_retell(struct call *c)
{
    const struct history *past = &c->claim.history;
    char id[PAST_ID_SIZE];
    int n = 0;
    for (int i = 0; i < past->count; i++) {
        snprintf(id, sizeof id, "past_%d", n++);
        conversation_send(c, c->w->provider->past_turn(id, past->turns[i].speaker, past->turns[i].text));
    }
    for (int i = 0; i < c->turns.count; i++) {
        const struct turn *turn = &c->turns.open[i];
        if (!c->past_greeting || !turn->text || !*turn->text)
            continue; /* a greeting that is being heard is told when that is over */
        snprintf(id, sizeof id, "past_%d", n++);
        conversation_send(c, c->w->provider->past_turn(id, turn->caller ? "caller" : "assistant", turn->text));
    }
}

bool conversation_owes_answer(const struct call *c)
{
    const struct history *past = &c->claim.history;
    if (c->answering || c->answer_wanted || c->tools)
        return true;
    return c->turns.count == 0 && past->count > 0 && strcmp(past->turns[past->count - 1].speaker, "caller") == 0;
}

bool conversation_words_to_come(const struct call *c)
{
    for (int i = 0; c->ai && c->transcribed && i < c->turns.count; i++) {
        if (c->turns.open[i].caller && !c->turns.open[i].complete)
            return true;
    }
    return false;
}

void conversation_hung_up(struct call *c)
{
    cut_to_heard(c, false);
    drop_unsaid(c);
    playout_clear(&c->playout);
    conversation_forget_answers(c);
    media_end_words(c);
}

/* Words of the caller that no session will transcribe any more; the tail lets the next one hear them. */
void conversation_session_lost(struct call *c)
{
    c->answering = false;
    *c->answer_id = *c->dropped_response = *c->unheard_item = '\0';
    conversation_forget_answers(c);
    drop_unsaid(c);
    for (int i = 0; i < c->turns.count; i++) {
        struct turn *turn = &c->turns.open[i];
        if (turn->caller)
            turn->complete = true;
    }
    finish_heard(c);
}

void conversation_tick(struct call *c)
{
    int64_t now = clock_mono_ms();
    if (turns_waiting(&c->turns))
        conversation_journal_turns(c, false);
    media_forget_old_words(c, now);
    if (c->ai && c->answering && now - c->answer_sign_ms > ANSWER_PATIENCE_MS)
        call_on(c, &(struct call_event){.kind = CALL_EV_AI_LOST, .why = "no sign of the answer asked for"});
    else
        ask_if_wanted(c);
}
