#include "worker/call/ai_leg.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "worker/ai/agent_url.h"
#include "worker/ai/ai_pool.h"
#include "worker/call/ai_standby.h"
#include "worker/call/answers.h"
#include "worker/call/conversation.h"
#include "worker/call/greeting.h"
#include "worker/call/media.h"
#include "worker/call/retell.h"
#include "worker/tools/call_tools.h"

/* A caller waits meanwhile: "within a second of the network allowing it". */
enum { REDIAL_MIN_MS = 100, REDIAL_MAX_MS = 1000 };

/* A session that stood open for long may be gone without a sign (NAT): then another is dialled. */
enum { CONFIGURE_SECONDS = 4 };

#define CONTINUE_HINT                                                                                     \
    "The connection was lost while the caller waited for you. Answer, or go on where you stopped, without " \
    "greeting and without repeating what was said."

void ai_leg_send(struct call *c, char *text)
{
    media_flush(c->w); /* what the caller said before */
    if (!text)
        log_error(c->sid, "out of memory for a message to the AI");
    else if (c->ai)
        ws_send_text(c->ai, text, strlen(text));
    free(text);
}

static void on_open(struct ws_conn *ws, void *arg)
{
    (void)ws;
    call_on(arg, &(struct call_event){.kind = CALL_EV_AI_OPEN});
}

static void on_text(struct ws_conn *ws, char *text, size_t len, void *arg)
{
    struct call *c = arg;
    struct ai_event ev;
    (void)ws;
    PREFETCH(c->stream);
    PREFETCH(&c->turns);
    c->w->provider->parse(&c->ai_memory, text, len, &ev);
    if (ev.kind == AI_BAD && ev.permanent)
        ai_pool_refused(c->w->ai_pool, ev.error);
    if (ev.kind == AI_BAD)
        call_on(c, &(struct call_event){.kind = CALL_EV_AI_LOST, .why = ev.error, .permanent = ev.permanent});
    else if (ev.kind == AI_REPLY)
        ai_leg_send(c, strdup(ev.text ? ev.text : ""));
    else if (ev.kind != AI_NOTHING)
        call_on(c, &(struct call_event){.kind = CALL_EV_AI, .ai = &ev});
    ai_event_release(&ev);
}

/* How an agent ends a call: it closes normally, once it has sent its last words. */
static bool is_hangup(const struct call *c, uint16_t code)
{
    return c->w->provider->agent && code == WS_CLOSE_NORMAL && c->state >= CALL_GREETING;
}

static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct call *c = arg;
    char detail[192];
    c->ai = NULL;
    snprintf(detail, sizeof detail, "%u %s", (unsigned)code, why);
    if (is_hangup(c, code))
        call_on(c, &(struct call_event){.kind = CALL_EV_AI, .ai = &(struct ai_event){.kind = AI_HUNG_UP}});
    else
        call_on(c, &(struct call_event){.kind = CALL_EV_AI_LOST, .why = detail, .permanent = ai_close_is_final(code, ws_http_status(ws))});
}

static const struct ws_handler events = {NULL, on_open, on_text, on_closed, NULL};

static void dial(struct call *c, const struct ai_target *target)
{
    c->ai = ws_dial(c->w, target, AI_MESSAGE_MAX, &events, c);
    if (!c->ai)
        call_end(c, REASON_NO_MEMORY, "no memory to dial the AI");
}

static void open_agent(struct call *c)
{
    struct agent_url_answer answer = agent_url_get(c->w->agent_urls, c->claim.context.ai_agent_id);
    if (answer.target)
        dial(c, answer.target);
    else if (answer.permanent)
        call_end(c, REASON_AI_REFUSED, answer.why);
    else
        ai_leg_redial(c);
}

void ai_leg_open(struct call *c)
{
    c->ai_tries++;
    c->ai_memory.expires_s = 0;
    if (c->w->provider->agent) {
        open_agent(c);
        return;
    }
    if (c->ai_tries == 1) /* one of the pool that did not work says that the others may not either */
        c->ai = ai_pool_take(c->w->ai_pool, &events, c, &c->ai_memory);
    if (c->ai) {
        metric_add(&c->w->metrics.ai_pool_hits, 1);
        ai_leg_configure(c);
        return;
    }
    dial(c, &c->w->ai);
}

void ai_leg_close(struct call *c)
{
    struct ws_conn *ai = c->ai;
    media_flush(c->w);
    c->ai = NULL;
    event_del(&c->redial);
    ai_standby_drop(c);
    ws_close(ai, WS_CLOSE_NORMAL, "");
}

void ai_leg_redial(struct call *c)
{
    int64_t wait = REDIAL_MIN_MS << (c->ai_tries < 6 ? c->ai_tries : 6);
    struct timeval tv;
    wait = wait < REDIAL_MAX_MS ? wait : REDIAL_MAX_MS;
    wait = wait / 2 + random_below((uint32_t)wait / 2 + 1);
    tv = (struct timeval){wait / 1000, (wait % 1000) * 1000};
    evtimer_add(&c->redial, &tv);
}

const char *ai_leg_voice(const struct call *c)
{
    const char *business = c->claim.context.voice, *worker = c->w->config->ai_voice;
    return *business ? business : *worker ? worker : c->w->provider->default_voice;
}

/* Agents: whether one that takes up a call has nothing to say before the caller has spoken. */
static bool waits(const struct call *c)
{
    return c->past_greeting && !c->rejoin && !c->unsaid;
}

static char *settings_with(const struct call *c, const char *instructions)
{
    const struct context *ctx = &c->claim.context;
    const struct provider *provider = c->w->provider;
    char *text;
    struct ai_settings settings = {
        .instructions = instructions,
        .call_sid = c->sid,
        .greeting = ctx->greeting,
        .past = &c->claim.history,
        .unsaid = c->unsaid,
        .waits = waits(c),
        .voice = ai_leg_voice(c),
        .language = ctx->language,
        .transcription_model = c->transcribed ? c->w->config->ai_transcription_model : "",
        .tools = call_tools_describe(c),
    };
    text = provider->session(&settings);
    json_decref(settings.tools);
    return text;
}

char *ai_leg_settings(const struct call *c)
{
    return settings_with(c, context_prompt(&c->claim.context, c->past_greeting || !c->w->provider->instructions));
}

static void send_settings(struct call *c)
{
    c->late.owed = false;
    ai_leg_send(c, ai_leg_settings(c));
}

void ai_leg_upgrade_prompt(struct call *c)
{
    int64_t decided = clock_mono_us(), took;
    if (!c->w->provider->instructions || !*c->claim.context.prompt_full) /* it may still come */
        return;
    ai_standby_drop(c);
    c->late.owed = false;
    ai_leg_send(c, c->w->provider->instructions(c->claim.context.prompt_full));
    if (c->late.taken) /* tools and language, apart: a tool that is refused must not cost the prompt */
        ai_leg_send(c, settings_with(c, NULL));
    took = clock_mono_us() - decided;
    metric_observe_us(&c->w->metrics.prompt_upgrade, took);
    log_info(c->sid, "prompt upgraded", log_real("seconds", (double)took / 1e6));
}

void ai_leg_configure(struct call *c)
{
    struct timeval patience = {CONFIGURE_SECONDS, 0};
    c->transcribed = *c->w->config->ai_transcription_model != '\0';
    if (c->w->provider->agent)
        retell_cut(c);
    send_settings(c);
    if (!c->w->provider->agent)
        retell_all(c);
    c->greeting.told = c->greeting.cached && c->claim.history.count > 0;
    evtimer_add(&c->redial, &patience);
}

void ai_leg_refused(struct call *c, const char *error)
{
    if (!c->transcribed) {
        call_end(c, REASON_AI_REFUSED, error);
        return;
    }
    log_warn(c->sid, "the AI refused the settings, they are tried without transcription", log_str("error", error));
    c->transcribed = false;
    send_settings(c);
}

void ai_leg_ready(struct call *c, const struct ai_event *ev)
{
    int64_t ready_ms = clock_mono_ms() - c->started_ms;
    if (*ev->session) /* the provider's own name for it, for whoever looks for it there */
        journal_fact(&c->journal, json_pack("{s:s}", "conversation_id", ev->session));
    c->ai_tries = 0;
    evtimer_del(&c->redial);
    if (c->w->provider->agent) {
        if (c->past_greeting && !waits(c))
            answers_expect(c); /* it begins to speak, in the middle of a call as well */
        c->rejoin = NULL; /* it has heard all */
    }
    if (!c->configured) {
        c->configured = true;
        metric_observe_us(&c->w->metrics.ai_ready_seconds, ready_ms * 1000);
        log_info(c->sid, "call started", log_int("epoch", (int64_t)c->claim.epoch), log_int("ai_ms", ready_ms));
    } else {
        log_info(c->sid, "AI session replaced", log_int("turns", c->claim.history.count));
    }
    media_send_tail(c);
    ai_standby_plan(c);
}

/* What is in the carrier's queue plays on. The old session's ids mean nothing to the next one: an
 * answer that is cut now is only cut in our own record. */
static void disown_playout(struct call *c)
{
    media_answer_done(c); /* nothing follows: what plays last gets its mark, too */
    for (int i = 0; i < c->playout.item_count; i++)
        c->playout.items[i].content_index = PLAYOUT_NOT_THE_AIS;
}

void ai_leg_lost(struct call *c)
{
    ai_leg_close(c);
    disown_playout(c);
    call_tools_session_lost(c);
    conversation_session_lost(c);
}

/* Words of the caller that are not answered come again, and are answered then. */
void ai_leg_replace(struct call *c)
{
    bool owed = answers_owed(c) && !c->words_unheard;
    metric_add(&c->w->metrics.ai_rebuilt, 1);
    ai_leg_lost(c);
    greeting_release(c);
    if (c->spoke)
        call_greeted(c);
    c->rejoin = owed ? CONTINUE_HINT : NULL;
    c->ai_tries = 0;
}

void ai_leg_adopt(struct call *c, struct ws_conn *ws, const struct ai_memory *memory)
{
    ai_leg_lost(c);
    c->ai = ws;
    c->ai_memory = *memory;
    ws_set_handler(ws, &events, c);
    retell_all(c);
    media_send_lead(c);
    ai_standby_plan(c);
}
