#include "worker/call/retell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "worker/call/ai_leg.h"
#include "worker/call/call_turns.h"
#include "worker/call/media.h"

enum {
    PAST_ID_SIZE = 20,
    /* Of a text, rather too much: what is said twice is better than what is lost. A character of three bytes is a
     * syllable, or a word. */
    SPOKEN_MS_PER_LETTER = 70,
    SPOKEN_MS_PER_SYLLABLE = 210,
};

void retell_keys(struct call *c, const char *item, const char *text)
{
    struct turn *turn = call_turns_open(c, true, item);
    turn_replace(turn, text);
    turn->complete = true;
    ai_leg_send(c, c->w->provider->past_turn(item, "caller", text));
    call_turns_journal(c, false);
}

void retell_greeting_plays(struct call *c, const char *text)
{
    struct turn *turn = call_turns_open(c, false, GREETING_ITEM);
    turn_replace(turn, text);
    turn->sounded = true;
}

/* By now the turn is in the history, or, if words of the caller before it are missing, still open. */
void retell_greeting(struct call *c)
{
    const struct turn *open = turns_find(&c->turns, GREETING_ITEM);
    const struct history *past = &c->claim.history;
    const char *text = open ? open->text : past->count > 0 ? past->turns[past->count - 1].text : NULL;
    if (text && *text)
        ai_leg_send(c, c->w->provider->past_turn(GREETING_ITEM, "assistant", text));
}

void retell_all(struct call *c)
{
    const struct history *past = &c->claim.history;
    char id[PAST_ID_SIZE];
    int n = 0;
    for (int i = 0; i < past->count; i++) {
        snprintf(id, sizeof id, "past_%d", n++);
        ai_leg_send(c, c->w->provider->past_turn(id, past->turns[i].speaker, past->turns[i].text));
    }
    for (int i = 0; i < c->turns.count; i++) {
        const struct turn *turn = &c->turns.open[i];
        if (!c->past_greeting || !turn->text || !*turn->text)
            continue; /* a greeting that is being heard is told when that is over */
        snprintf(id, sizeof id, "past_%d", n++);
        ai_leg_send(c, c->w->provider->past_turn(id, turn->caller ? "caller" : "assistant", turn->text));
    }
}

/* ---- agents ---- */

static void say_first(struct call *c, const char *words)
{
    char *all = NULL;
    words += strspn(words, " ");
    if (!*words || asprintf(&all, "%s%s%s", words, c->unsaid ? " " : "", c->unsaid ? c->unsaid : "") < 0)
        return;
    free(c->unsaid);
    c->unsaid = all;
}

/* Of a turn that takes of_ms only what takes ms stays. */
static void leave_rest(struct call *c, struct turn *turn, int64_t ms, int64_t of_ms)
{
    char *whole = turn->text ? strdup(turn->text) : NULL;
    if (!whole)
        return;
    turn_cut(turn, ms, of_ms);
    turn->interrupted = turn->interrupted || ms < of_ms;
    say_first(c, whole + strlen(turn->text));
    free(whole);
}

static int64_t spoken_ms(const char *text)
{
    int64_t ms = 0;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if ((byte & 0xC0) != 0x80)
            ms += byte < 0xE0 ? SPOKEN_MS_PER_LETTER : SPOKEN_MS_PER_SYLLABLE;
    }
    return ms;
}

/* The words of an answer come before its sound, and nobody says how long they take. */
static void expect_no_sound(struct call *c)
{
    int last = c->playout.item_count - 1;
    struct turn *turn = last >= 0 && c->answer.under_way ? turns_find(&c->turns, c->playout.items[last].id) : NULL;
    if (turn && turn->text && !turn->complete)
        leave_rest(c, turn, playout_item_sent_ms(&c->playout, last), spoken_ms(turn->text));
}

void retell_keep_unsaid(struct call *c)
{
    for (int i = c->turns.count - 1; i >= 0; i--) {
        const struct turn *turn = &c->turns.open[i];
        if (!turn->caller && !turn->complete && !turn->sounded && turn->text)
            say_first(c, turn->text);
    }
    if (c->state != CALL_PARTING) /* then there is no next one: what came is all that is said */
        expect_no_sound(c);
}

void retell_cut(struct call *c)
{
    int64_t now = clock_mono_ms();
    for (int i = c->playout.item_count - 1; i >= 0; i--) {
        struct turn *turn = turns_find(&c->turns, c->playout.items[i].id);
        if (!turn)
            continue;
        leave_rest(c, turn, playout_item_heard_ms(&c->playout, i, now), playout_item_sent_ms(&c->playout, i));
        turn->complete = true;
        turn->ended_ms = clock_wall_ms();
    }
    if (c->playout.item_count > 0)
        media_clear(c);
    call_turns_journal(c, false);
}
