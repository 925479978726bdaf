/* A call that nothing was heard of for minutes, dialled by us or come to a number of the provider's own: the provider
 * is asked how it goes. Without an answer the call comes due again, but not for ever. */
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/foreign_json.h"
#include "warmer/ask.h"
#include "warmer/elevenlabs/told.h"
#include "warmer/outbound/attempt_parts.h"
#include "warmer/outbound/link.h"
#include "warmer/status.h"

enum {
    HTTP_NOT_FOUND = 404,
    CALL_MAX_MS = 86400000, /* the longest that a carrier lets a call be */
};

/* A provider that carries the media says with it what was spoken: the webhook that would have has not come. */
static void over_after_all(struct attempt *a, const struct provider_state *state, const char *body)
{
    json_t *conversation = a->provider->carries_media ? foreign_json_text(body) : NULL;
    struct report report;
    metric_add(&a->w->metrics.states_found, 1);
    log_info(a->sid, "call status", log_str("status", state->status), log_str("from", "the provider's API"));
    if (conversation) {
        if (!report_of_conversation(&report, conversation)) {
            strcpy(report.own_sid, a->sid);
            told_keep(a->w, &report, NULL, NULL);
        }
        report_release(&report);
        json_decref(conversation);
        return;
    }
    link_status(a->w, a->sid, state->status, state->duration, "");
    queue_over(a->w, a->sid);
}

/* ---- nothing is to be known ---- */

/* Whoever waits for its end would wait for ever, and so would its business for the place. */
static void give_up(struct attempt *a, const char *reason)
{
    log_warn(a->sid, "call is given up", log_str("why", reason));
    link_status(a->w, a->sid, "failed", "", reason);
    queue_over(a->w, a->sid);
    attempt_finish(a);
}

/* Of a call that has just been dialled the provider may not know yet. */
static void not_known(struct attempt *a, const char *reason)
{
    if (attempt_too_late(a, 0)) {
        give_up(a, reason);
        return;
    }
    queue_settle(a->w, a->sid, "", "", LOOK_AFTER_MS);
    attempt_finish(a);
}

/* It may well go on: it is asked again once the lease is over. */
static void on_unsure(struct attempt *a, const char *why)
{
    log_warn(a->sid, "the provider does not say how a call goes", log_str("error", why));
    if (attempt_too_late(a, -CALL_MAX_MS))
        give_up(a, "how it went is not known: the provider could not be asked");
    else
        attempt_finish(a);
}

/* ---- asking ---- */

static void on_state(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct attempt *a = arg;
    struct provider_state state;
    char answered[16];
    (void)len;
    a->http = NULL;
    snprintf(answered, sizeof answered, "HTTP %d", status);
    if (!error && status == HTTP_NOT_FOUND) {
        not_known(a, "the provider does not know this call any more");
    } else if (error || !a->provider->state(&state, status, body)) {
        on_unsure(a, error ? error : answered);
    } else if (status_terminal(state.status)) {
        over_after_all(a, &state, body);
        attempt_finish(a);
    } else {
        queue_settle(a->w, a->sid, "", "", LOOK_AFTER_MS);
        attempt_finish(a);
    }
}

static void ask_provider(struct attempt *a)
{
    struct provider_request request;
    bool made = a->provider->ask(&request, &a->w->config, a->job);
    if (!made)
        provider_request_release(&request);
    if (!made || !attempt_send(a, &request, false, on_state))
        on_unsure(a, "the request cannot be made");
}

/* ---- a conversation whose id nobody has told us ---- */

static void take_conversation(struct attempt *a, const char *id)
{
    json_object_set_new(a->job, "conversation_id", json_string(id));
    link_call(a->w, a->sid, "", id);
    queue_settle(a->w, a->sid, "", id, LOOK_AFTER_MS);
    ask_provider(a);
}

/* A caller who hung up before the agent was there has none. */
static void on_found(struct attempt *a, const char *id)
{
    if (id)
        take_conversation(a, id);
    else
        not_known(a, "the provider knows no conversation of this call");
}

/* A tool may have named it. */
static void on_known(const redisReply *reply, void *arg)
{
    struct attempt *a = arg;
    if (!reply)
        on_unsure(a, "redis did not answer");
    else if (reply->type == REDIS_REPLY_STRING && call_sid_valid(reply->str))
        take_conversation(a, reply->str);
    else
        attempt_seek(a);
}

static void find_conversation(struct attempt *a)
{
    struct question q;
    a->on_found = on_found;
    a->on_unsure = on_unsure;
    question_init_command(&q, "HGET");
    question_key(&q, a->w, KEY_SESSION, a->sid);
    question_arg(&q, "conversation_id");
    if (ask(a->w, &q, on_known, a) != 0)
        on_known(NULL, a);
}

void attempt_watch(struct attempt *a)
{
    if (!a->provider || !a->provider->configured(&a->w->config))
        not_known(a, "this carrier is not set up here any more");
    else if (a->provider->ids_are_conversations && !*job_text(a->job, "conversation_id"))
        find_conversation(a);
    else
        ask_provider(a);
}
