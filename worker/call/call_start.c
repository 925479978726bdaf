#include "worker/call/call_start.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/call_turns.h"
#include "worker/call/machine.h"
#include "worker/call/retell.h"

/* A call that was taken over from another worker: the caller must not be greeted twice. Unless the worker before
 * knew that nobody waited for a word, its last one may not have been heard. */
#define RESUME_HINT                                                                                     \
    "The phone line was interrupted for a few seconds and is back. Do not greet again. Go on exactly " \
    "where the conversation stopped."

/* It was cut in the greeting, or just behind it. */
#define REGREET_HINT                                                                                      \
    "The phone line was interrupted for a few seconds while you greeted the caller, and is back. Do not " \
    "greet again from the beginning: say in a few words that you are back, then whatever of your greeting " \
    "the caller may have missed and needs to know."

static void on_claim_reply(void *owner, const redisReply *reply)
{
    struct call *c = owner;
    c->claiming = NULL;
    call_on(c, &(struct call_event){.kind = CALL_EV_CLAIM, .reply = reply});
}

bool call_start(struct call *c, const struct carrier_event *ev)
{
    int n = 0;
    c->started_ms = clock_mono_ms();
    watch_start(&c->watch, c->started_ms);
    snprintf(c->sid, sizeof c->sid, "%s", ev->call_sid);
    snprintf(c->stream_sid, sizeof c->stream_sid, "%s", ev->stream_sid);
    if (!call_sid_valid(c->sid) || strpbrk(c->stream_sid, "\"\\")) {
        call_end(c, REASON_CARRIER_PROTOCOL, "callSid or streamSid is not a name");
        return false;
    }
    if (token_check(ev->token, c->w->config->stream_secret, c->sid, &n) != TOKEN_GOOD) {
        call_end(c, REASON_TOKEN_REFUSED, "token not ours or of another call");
        return false;
    }
    c->placed = worker_call_begins(c->w);
    if (!c->placed) {
        call_end(c, REASON_FULL, "other streams were faster to the last places");
        return false;
    }
    c->claiming = claim_send(c->w, c->sid, n, ev->token, c->stream_sid, on_claim_reply, c);
    if (!c->claiming)
        call_end(c, REASON_STORE_AWAY, "Redis is not reachable");
    return c->claiming != NULL;
}

static void on_journal(void *arg, enum journal_outcome outcome)
{
    call_on(arg, &(struct call_event){.kind = CALL_EV_JOURNAL, .outcome = outcome});
}

/* How much of it was heard nobody knows. A machine is told all of its message again. */
static bool greeting_was_cut(const struct call *c)
{
    return c->claim.greeting_began_ms > 0 && c->claim.history.count == 0 && !machine_answers(c);
}

/* The turn that the worker before did not live to write. */
static void write_cut_greeting(struct call *c)
{
    struct turn *turn = turns_open(&c->turns, false, GREETING_ITEM, c->claim.greeting_began_ms);
    turn_replace(turn, c->claim.context.greeting);
    turn->complete = turn->interrupted = true;
    call_turns_journal(c, false);
}

bool call_start_claimed(struct call *c, const redisReply *reply)
{
    const char *wrong = claim_take(reply, &c->claim);
    metric_observe_us(&c->w->metrics.claim_seconds, (clock_mono_ms() - c->started_ms) * 1000);
    if (wrong) {
        call_end(c, reply && reply->type != REDIS_REPLY_ERROR ? REASON_CLAIM_REFUSED : REASON_STORE_AWAY, wrong);
        return false;
    }
    journal_init(&c->journal, c->w, c->sid, c->stream_sid, c->claim.epoch, c->claim.seq, on_journal, c);
    c->journal.clock_skew_ms = c->claim.clock_skew_ms;
    metric_add(&c->w->metrics.calls_claimed, 1);
    if (c->claim.epoch > 1)
        metric_add(&c->w->metrics.calls_resumed, 1);
    if (greeting_was_cut(c)) {
        call_greeted(c);
        c->rejoin = c->claim.idle ? NULL : REGREET_HINT;
        write_cut_greeting(c);
    } else if (c->claim.history.count > 0) {
        call_greeted(c);
        c->rejoin = c->claim.idle ? NULL : RESUME_HINT;
    } else {
        return machine_greet(c);
    }
    return true;
}
