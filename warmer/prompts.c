/* POST /prompts: the same prompts that a call would get, for other channels.
 *
 *   Authorization: Bearer <RINGFLEET_API_KEY>
 *   {"business_number": "+14155550199", "lead_number": "+14155550123", "channel": "sms", "direction": "inbound"}
 *
 *   business_id, a text or a whole number, may stand instead of business_number
 *
 *   200 {"source": "database", "channel": "sms", "greeting": "..", "prompt_compact": "..", "prompt_full": "..",
 *        "lead_first_name": ".."}
 *   400 {"error": ".."}   404 no such business   503 neither the database nor a snapshot could be had
 *
 * channel is "voice" if it is not given, direction "inbound", lead_number nobody. Nothing is recorded. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/log.h"
#include "common/base/foreign_json.h"
#include "warmer/server.h"
#include "warmer/warm.h"
#include "warmer/wrong.h"

enum { PARTY_MAX = 255, CHANNEL_MAX = 32, ID_SIZE = 24 };

struct asked {
    struct request *request; /* NULL once answered */
    char channel[CHANNEL_MAX + 1];
};

static void answer(struct request *r, int code, json_t *document)
{
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    if (text)
        request_answer_json(r, code, text);
    else
        request_answer_status(r, 503);
    free(text);
}

static void answer_error(struct request *r, int code, const char *error)
{
    answer(r, code, json_pack("{s:s}", "error", error));
}

static void answer_prompts(struct asked *a, struct request *r, const struct warmed *warmed)
{
    const struct context *c = warmed->context;
    metric_add(&r->w->metrics.prompts_made, 1);
    answer(r, 200,
           json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "source", warm_source_name(warmed->source), "channel",
                     a->channel, "greeting", context_get(c, "greeting"), "prompt_compact",
                     context_get(c, "prompt_compact"), "prompt_full", context_get(c, "prompt_full"),
                     "lead_first_name", context_get(c, "lead_first_name")));
}

static void answer_first(struct asked *a, const struct warmed *warmed)
{
    struct request *r = a->request;
    a->request = NULL;
    if (warmed->source == WARM_UNKNOWN) {
        metric_add(&r->w->metrics.prompts_unknown, 1);
        answer_error(r, 404, "no business has this number or id");
    } else if (warmed->source == WARM_MINIMAL) {
        metric_add(&r->w->metrics.prompts_failed, 1);
        answer_error(r, 503, "the database cannot be asked now");
    } else {
        answer_prompts(a, r, warmed);
    }
}

static void on_warmed(const struct warmed *warmed, void *arg)
{
    struct asked *a = arg;
    if (a->request)
        answer_first(a, warmed);
    if (!warmed->more)
        free(a);
}

/* The text, or the default if there is none; NULL if it is no text, or too long. */
static const char *text_of(const json_t *body, const char *name, const char *dflt, size_t max)
{
    const json_t *value = json_object_get(body, name);
    const char *text = value ? json_string_value(value) : dflt;
    return text && strlen(text) <= max ? text : NULL;
}

/* How the business is named: business_id, else business_number; NULL if by neither, or both. */
static const char *business_of(const json_t *body, char room[ID_SIZE], bool *by_id)
{
    const json_t *id = json_object_get(body, "business_id");
    const char *number = text_of(body, "business_number", "", PARTY_MAX);
    *by_id = id != NULL;
    if (!id)
        return number && *number ? number : NULL;
    if (json_object_get(body, "business_number"))
        return NULL;
    snprintf(room, ID_SIZE, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
    number = json_is_integer(id) ? room : text_of(body, "business_id", NULL, PARTY_MAX);
    return number && *number ? number : NULL;
}

/* NULL, or what is wrong with the body. */
static const char *begin(struct request *r, const json_t *body)
{
    struct warm_call call = {.channel = text_of(body, "channel", CONTEXT_VOICE, CHANNEL_MAX), .answered_by = ""};
    char room[ID_SIZE];
    const char *business = business_of(body, room, &call.by_id);
    const char *lead = text_of(body, "lead_number", "", PARTY_MAX);
    const char *direction = text_of(body, "direction", "inbound", CHANNEL_MAX);
    bool outbound = direction && strcmp(direction, "outbound") == 0;
    struct asked *a;
    if (!business)
        return "business_number or business_id, one of them, is missing, or no text";
    if (!lead || !call.channel || !*call.channel)
        return "lead_number or channel is no text, or too long";
    if (!outbound && (!direction || strcmp(direction, "inbound") != 0))
        return "direction is neither inbound nor outbound";
    call.load = (struct load_call){.call_sid = "", .from = outbound ? business : lead, .to = outbound ? lead : business,
                                   .direction = direction};
    a = calloc(1, sizeof *a);
    if (!a)
        return NO_MEMORY;
    a->request = r;
    strcpy(a->channel, call.channel);
    if (warm(r->w, &call, on_warmed, a) == 0)
        return NULL;
    free(a);
    return NO_MEMORY;
}

void prompts_handle(struct request *r)
{
    size_t len;
    const char *text = request_body(r, &len), *wrong;
    json_t *body = text ? foreign_json(text, len, 0) : NULL;
    wrong = !text ? NO_MEMORY : json_is_object(body) ? begin(r, body) : "the body is no JSON object";
    json_decref(body);
    if (!wrong)
        return;
    if (wrong_status(wrong) == 400)
        metric_add(&r->w->metrics.malformed, 1);
    answer_error(r, wrong_status(wrong), wrong);
}
