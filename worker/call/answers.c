#include "worker/call/answers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/ai_leg.h"

enum {
    ANSWER_FAILURES_MAX = 2,    /* an answer is asked for twice, then the caller gets configured words */
    ANSWER_PATIENCE_MS = 10000,
    ANSWER_TO_WORDS_MS = 1500,  /* after the caller's words the provider answers by itself, within this */
};

/* Of agents: audio comes faster than it plays, so a pause in it means that the answer is complete. */
enum { ANSWER_QUIET_MS = 1500, ANSWER_BEGINS_MS = 8000 };

static void expect_more(struct call *c, int64_t within_ms)
{
    c->answer.under_way = true;
    c->answer.sign_ms = clock_mono_ms();
    c->answer.over_ms = c->answer.sign_ms + within_ms;
}

void answers_expect(struct call *c)
{
    expect_more(c, ANSWER_BEGINS_MS);
}

void answers_go_on(struct call *c)
{
    if (c->w->provider->agent)
        expect_more(c, ANSWER_QUIET_MS);
}

bool answers_over(const struct call *c)
{
    return c->w->provider->agent && c->answer.under_way && clock_mono_ms() >= c->answer.over_ms;
}

/* Out of memory: an answer without its instructions is better than none. */
static void want_answer(struct call *c, const char *instructions)
{
    c->answer.wanted = true;
    c->answer.with_words = c->speaking || c->w->provider->agent; /* which does not say that it is about to answer */
    if (instructions) {
        free(c->answer.wanted_with);
        c->answer.wanted_with = strdup(instructions);
    }
}

void answers_again(struct call *c)
{
    want_answer(c, c->answer.wanted_with ? NULL : c->answer.asked_with);
}

/* An answer often calls several tools, and the first may be done before the second is even called. */
static bool tools_first(const struct call *c)
{
    return c->answer.to_tools && c->tools;
}

/* Nobody speaks into the caller's words. A greeting may: it is why they are there. */
static bool caller_first(const struct call *c)
{
    if (c->state == CALL_GREETING)
        return false;
    return c->speaking || (c->answer.with_words && clock_mono_ms() - c->words_ms < ANSWER_TO_WORDS_MS);
}

void answers_begun(struct call *c, const char *response)
{
    c->answer.under_way = true;
    c->answer.perceptible = false;
    snprintf(c->answer.id, sizeof c->answer.id, "%s", response);
    if (c->answer.with_words && !c->answer.wanted_with)
        c->answer.wanted = false; /* it knows what was to be said: a tool's output came before it */
    c->answer.with_words = false;
}

void answers_next(struct call *c)
{
    if (!c->answer.wanted || c->answer.under_way || !c->ai || c->state == CALL_DIALLING)
        return;
    if (caller_first(c) || tools_first(c))
        return;
    c->answer.with_words = false;
    free(c->answer.asked_with);
    c->answer.asked_with = c->answer.wanted_with;
    c->answer.wanted_with = NULL;
    c->answer.wanted = c->answer.muted = false;
    answers_expect(c);
    ai_leg_send(c, c->w->provider->response(c->answer.asked_with));
}

void answers_ask(struct call *c, const char *instructions)
{
    if (!instructions && (c->w->provider->agent || c->state == CALL_PARTING))
        return; /* an agent answers by itself: only what it cannot know of is worth a message */
    c->answer.to_tools = false;
    want_answer(c, instructions);
    answers_next(c);
}

void answers_to_tools(struct call *c)
{
    if (c->w->provider->agent || c->state == CALL_PARTING)
        return;
    c->answer.to_tools = c->answer.to_tools || !c->answer.wanted;
    want_answer(c, NULL);
    answers_next(c);
}

bool answers_overdue(const struct call *c, int64_t now_ms)
{
    return c->ai && c->answer.under_way && now_ms - c->answer.sign_ms > ANSWER_PATIENCE_MS;
}

void answers_forget(struct call *c)
{
    c->answer.wanted = c->answer.with_words = false;
    free(c->answer.wanted_with);
    free(c->answer.asked_with);
    c->answer.wanted_with = c->answer.asked_with = NULL;
}

void answers_failed(struct call *c, const struct ai_event *ev)
{
    metric_add(&c->w->metrics.ai_failed, 1);
    c->answer.failures++;
    log_warn(c->sid, "the AI could not answer", log_str("error", ev->error), log_int("times", c->answer.failures));
    if (c->state == CALL_PARTING)
        return; /* a goodbye that cannot be said */
    if (ev->permanent || c->answer.failures >= ANSWER_FAILURES_MAX)
        call_end(c, REASON_AI_FAILED, ev->error);
    else
        answers_again(c); /* conversation_tick asks, a moment later: it may be a rate limit */
}

bool answers_owed(const struct call *c)
{
    const struct history *past = &c->claim.history;
    if (c->answer.under_way || c->answer.wanted || c->tools)
        return true;
    return c->turns.count == 0 && past->count > 0 && strcmp(past->turns[past->count - 1].speaker, "caller") == 0;
}
