/* POST /webhooks/elevenlabs/personalization  {"caller_id": "+1..", "agent_id": "..", "called_number": "+1..", "call_sid": "CA.."}
 *   200 {"type": "conversation_initiation_client_data", "user_id": "CA..", "dynamic_variables": {..}}
 *
 * A number that is ElevenLabs' own rings: the call's context is made as for a call of ours, answered within the same
 * deadline, and kept, so that the webhooks during and after the call find it. Nobody's number: 404. */
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/foreign_json.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/elevenlabs/api.h"
#include "warmer/elevenlabs/webhooks.h"
#include "warmer/outbound/link.h"
#include "warmer/outbound/queue.h"
#include "warmer/unrecorded.h"
#include "warmer/warm.h"
#include "warmer/withheld.h"
#include "warmer/wrong.h"

enum {
    PARTY_MAX = 255,
    LEASE_MS = 3600000,     /* the call's end comes with its report */
    LOOK_AFTER_MS = 300000, /* without a word of it, the report is asked for */
    GIVE_UP_MS = 3600000,   /* there has been no conversation */
};

struct asked {
    struct request *request; /* NULL once answered */
    struct warmer *w;
    char sid[CALL_SID_SIZE], conversation[CALL_SID_SIZE]; /* the latter "" if it was not said */
    char agent[PARTY_MAX + 1];
};

static void answer(struct request *r, int code, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    request_answer_json(r, text ? code : 500, text ? text : "{}");
    free(text);
}

static void on_kept(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.events_failed, 1);
}

/* Waited for by nobody: the caller hears the phone ring meanwhile. */
static void keep(struct asked *a, const struct context *c)
{
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_dial"));
    question_key(&q, a->w, KEY_CONTEXT, a->sid);
    question_key(&q, a->w, KEY_SESSION, a->sid);
    question_key(&q, a->w, KEY_LIVE, a->sid);
    question_arg(&q, a->sid);
    question_number(&q, a->w->config.context_ttl_seconds);
    question_number(&q, LEASE_MS);
    for (size_t i = 0; i < c->count; i++) {
        question_arg(&q, c->fields[i].name);
        question_arg(&q, c->fields[i].value);
    }
    if (ask(a->w, &q, on_kept, a->w) != 0)
        on_kept(NULL, a->w);
}

/* Its report may never come. */
static void watch(const struct asked *a)
{
    json_t *job = json_pack("{s:s, s:s, s:s}", "carrier", provider_elevenlabs.name, "agent_id", a->agent, "conversation_id",
                            a->conversation);
    char *text;
    job_set_number(job, "asked", clock_wall_ms());
    job_set_number(job, "give_up_ms", clock_wall_ms() + GIVE_UP_MS);
    text = json_dumps(job, JSON_COMPACT);
    if (text)
        queue_watch(a->w, a->sid, LOOK_AFTER_MS, text);
    free(text);
    json_decref(job);
}

static void answer_first(struct asked *a, const struct warmed *warmed)
{
    struct request *r = a->request;
    const struct context *c = warmed->context;
    a->request = NULL;
    if (warmed->source == WARM_UNKNOWN) {
        metric_add(&a->w->metrics.refused, 1);
        answer(r, 404, json_pack("{s:s}", "error", "nobody has the number called_number"));
        return;
    }
    if (*a->conversation)
        link_call(a->w, a->sid, "", a->conversation);
    if (a->w->outbound && provider_elevenlabs.configured(&a->w->config))
        watch(a);
    log_info(a->sid, "call personalized", log_str("source", warm_source_name(warmed->source)),
             log_phone("from", context_get(c, "from")), log_phone("to", context_get(c, "to")));
    answer(r, 200, json_pack("{s:s, s:s, s:o}", "type", "conversation_initiation_client_data", "user_id", a->sid,
                             "dynamic_variables", elevenlabs_variables(c)));
}

static void on_warmed(const struct warmed *warmed, void *arg)
{
    struct asked *a = arg;
    if (warmed->context->count > 0) {
        keep(a, warmed->context);
        if (!warmed->recorded) /* also while there is more to come: that may be nothing */
            unrecorded_note(a->w, a->sid, context_get(warmed->context, "from"), context_get(warmed->context, "to"), "inbound",
                            strtoll(context_get(warmed->context, "opened_ms"), NULL, 10));
    }
    if (a->request)
        answer_first(a, warmed);
    if (!warmed->more)
        free(a);
}

static const char *text_of(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text && strlen(text) <= PARTY_MAX ? text : "";
}

static const char *begin(struct request *r, const json_t *body)
{
    const char *sid = text_of(body, "call_sid"), *to = text_of(body, "called_number");
    const struct warm_call call = {.load = {sid, withheld_or(text_of(body, "caller_id")), to, "inbound", .open = true},
                                   .channel = CONTEXT_VOICE, .answered_by = ""};
    struct asked *a;
    if (!call_sid_valid(sid) || !*to)
        return "the body is no JSON object with call_sid and called_number";
    a = calloc(1, sizeof *a);
    if (!a)
        return NO_MEMORY;
    a->request = r;
    a->w = r->w;
    strcpy(a->sid, sid);
    strcpy(a->agent, text_of(body, "agent_id"));
    if (call_sid_valid(text_of(body, "conversation_id")))
        strcpy(a->conversation, text_of(body, "conversation_id"));
    if (warm(r->w, &call, on_warmed, a) == 0)
        return NULL;
    free(a);
    return NO_MEMORY;
}

void personalization_handle(struct request *r)
{
    size_t len;
    const char *text = request_body(r, &len), *wrong;
    json_t *body = text ? foreign_json(text, len, 0) : NULL;
    wrong = text ? begin(r, body) : NO_MEMORY;
    json_decref(body);
    if (!wrong)
        return;
    if (wrong_status(wrong) == 400)
        metric_add(&r->w->metrics.malformed, 1);
    answer(r, wrong_status(wrong), json_pack("{s:s}", "error", wrong));
}
