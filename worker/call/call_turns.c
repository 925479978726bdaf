#include "worker/call/call_turns.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/ai_leg.h"

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

struct turn *call_turns_open(struct call *c, bool caller, const char *item)
{
    if (!turns_find(&c->turns, item) && turns_close_oldest_if_full(&c->turns))
        call_turns_journal(c, false);
    return turns_open(&c->turns, caller, item, clock_wall_ms());
}

/* What was heard of a turn, by our marks, or by the provider's word if it gives one. */
static void cut_turn(struct turn *turn, bool whole, int64_t heard_ms, int64_t sent_ms, bool word_comes)
{
    if (!whole && !turn->judged)
        turn_cut(turn, heard_ms, sent_ms);
    turn->interrupted = turn->interrupted || !whole;
    turn->complete = whole || turn->judged || !word_comes;
    turn->ended_ms = clock_wall_ms();
}

void call_turns_cut(struct call *c, bool tell_ai)
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
            ai_leg_send(c, c->w->provider->truncate(item->id, item->content_index, heard));
    }
}

void call_turns_drop_unsaid(struct call *c)
{
    for (int i = 0; i < c->turns.count; i++) {
        struct turn *turn = &c->turns.open[i];
        if (turn->caller || turn->complete || turn->interrupted || turn->sounded)
            continue;
        turn_replace(turn, "");
        turn->complete = true;
    }
}

void call_turns_journal(struct call *c, bool all)
{
    struct turn turn;
    if (all) {
        call_turns_cut(c, false);
        call_turns_drop_unsaid(c);
    }
    while (turns_take(&c->turns, all, clock_wall_ms(), &turn)) {
        journal_turn(c, &turn);
        free(turn.text);
    }
}

void call_turns_finish_heard(struct call *c)
{
    struct playout_item item;
    while (playout_finished(&c->playout, &item)) {
        struct turn *turn = turns_find(&c->turns, item.id);
        if (turn) {
            turn->complete = true;
            turn->ended_ms = clock_wall_ms();
        }
    }
    call_turns_journal(c, false);
}

bool call_turns_words_to_come(const struct call *c)
{
    for (int i = 0; c->ai && c->transcribed && i < c->turns.count; i++) {
        if (c->turns.open[i].caller && !c->turns.open[i].complete)
            return true;
    }
    return false;
}
