#include "worker/call/retell.h"

#include <stdio.h>

#include "worker/call/ai_leg.h"
#include "worker/call/call_turns.h"

enum { PAST_ID_SIZE = 20 };

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
