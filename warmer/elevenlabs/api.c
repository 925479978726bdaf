/* ElevenLabs' REST API: an agent of theirs dials, and carries the media. Our call_sid is the conversation's user_id and
 * one of its dynamic variables. */
#include "warmer/elevenlabs/api.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "common/base/foreign_json.h"
#include "common/base/utf8.h"
#include "warmer/outbound/queue.h"

enum { HTTP_TOO_MANY = 429 };

/* ---- requests ---- */

RF_PRINTF(3, 4) static bool begin(struct provider_request *out, const struct warmer_config *config, const char *path, ...)
{
    size_t len;
    va_list args;
    int more;
    memset(out, 0, sizeof *out);
    snprintf(out->url, sizeof out->url, "%s/v1/convai/", config->elevenlabs_url);
    len = strlen(out->url);
    va_start(args, path);
    more = vsnprintf(out->url + len, sizeof out->url - len, path, args);
    va_end(args);
    snprintf(out->headers[0], sizeof out->headers[0], "xi-api-key: %s", config->elevenlabs_api_key);
    snprintf(out->headers[1], sizeof out->headers[1], "Content-Type: application/json");
    return more >= 0 && (size_t)more < sizeof out->url - len;
}

/* What no agent needs to know: credentials of a business' tools, and what is ours. */
static bool is_ours(const char *name)
{
    static const char *const ours[] = {"tools", "business_settings", "source", "opened_ms", "answered_by", "booked_slots"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (strcmp(name, ours[i]) == 0)
            return true;
    }
    return false;
}

json_t *elevenlabs_variables(const struct context *context)
{
    json_t *variables = json_object();
    for (size_t i = 0; i < context->count; i++) {
        if (!is_ours(context->fields[i].name))
            json_object_set_new(variables, context->fields[i].name, json_string(context->fields[i].value));
    }
    return variables;
}

static const char *elevenlabs_missing(const json_t *job)
{
    if (!*job_text(job, "agent_id"))
        return "the agent has no ai_agent_id (settings of the business)";
    return *job_text(job, "agent_phone_number_id") ? NULL : "the agent has no agent_phone_number_id (settings of the business)";
}

static bool elevenlabs_dial(struct provider_request *out, const struct warmer_config *config, const char *call_sid,
                            const json_t *job, const struct context *context, const char **why)
{
    json_t *body = json_pack("{s:s, s:s, s:s, s:{s:s, s:o}, s:{s:I}}", "agent_id", job_text(job, "agent_id"),
                             "agent_phone_number_id", job_text(job, "agent_phone_number_id"), "to_number",
                             job_text(job, "to_number"), "conversation_initiation_client_data", "user_id", call_sid,
                             "dynamic_variables", elevenlabs_variables(context), "telephony_call_config",
                             "ringing_timeout_secs", (json_int_t)config->ring_seconds);
    bool fits = begin(out, config, "twilio/outbound-call");
    *why = "the request to ElevenLabs cannot be made";
    out->body = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    return fits && out->body;
}

static bool elevenlabs_look(struct provider_request *out, const struct warmer_config *config, const char *call_sid,
                            const json_t *job)
{
    char *agent = evhttp_encode_uri(job_text(job, "agent_id")), *user = evhttp_encode_uri(call_sid);
    bool fits = begin(out, config, "conversations?page_size=20&user_id=%s%s%s", user ? user : "",
                      agent && *agent ? "&agent_id=" : "", agent ? agent : "");
    bool made = fits && agent && user;
    free(agent);
    free(user);
    return made;
}

static bool elevenlabs_ask(struct provider_request *out, const struct warmer_config *config, const json_t *job)
{
    const char *id = job_text(job, "conversation_id");
    return begin(out, config, "conversations/%s", id) && call_sid_valid(id);
}

/* ---- answers ---- */

static void copy_id(char out[CALL_SID_SIZE], const json_t *value)
{
    const char *text = json_string_value(value);
    out[0] = '\0';
    if (text && call_sid_valid(text))
        strcpy(out, text);
}

/* `detail` is a text, an object with a message, or a list of objects with a msg. */
static const char *detail_of(const json_t *body)
{
    const json_t *detail = json_object_get(body, "detail");
    const char *text = json_string_value(detail);
    if (json_is_array(detail))
        text = json_string_value(json_object_get(json_array_get(detail, 0), "msg"));
    if (json_is_object(detail))
        text = json_string_value(json_object_get(detail, "message"));
    if (!text)
        text = json_string_value(json_object_get(body, "message"));
    return text ? text : "no reason given";
}

static void elevenlabs_dialled(struct provider_answer *out, int status, const char *text)
{
    json_t *body = foreign_json_text(text);
    char said[PROVIDER_REASON_MAX - 40];
    memset(out, 0, sizeof *out);
    copy_id(out->call_sid, json_object_get(body, "callSid"));
    copy_id(out->conversation_id, json_object_get(body, "conversation_id"));
    utf8_copy(said, sizeof said, detail_of(body));
    snprintf(out->reason, sizeof out->reason, "elevenlabs %d: %s", status, said);
    if (status == 200 && json_is_true(json_object_get(body, "success")))
        out->verdict = PROVIDER_DIALLED;
    else if (status == HTTP_TOO_MANY)
        out->verdict = PROVIDER_BUSY;
    else
        /* What 200 without success means is not said: look before dialling again. */
        out->verdict = status >= 400 && status < 500 ? PROVIDER_REFUSED : PROVIDER_UNSURE;
    json_decref(body);
}

static bool elevenlabs_found(struct provider_found *out, int status, const char *text, int64_t since_ms)
{
    json_t *body = status == 200 ? foreign_json_text(text) : NULL, *one;
    bool understood = json_is_array(json_object_get(body, "conversations"));
    size_t i;
    (void)since_ms; /* they are asked for by our own name */
    out->count = 0;
    json_array_foreach(json_object_get(body, "conversations"), i, one) {
        if (out->count == PROVIDER_FOUND_MAX)
            break;
        copy_id(out->ids[out->count], json_object_get(one, "conversation_id"));
        out->count += *out->ids[out->count] != '\0';
    }
    json_decref(body);
    return understood;
}

static bool elevenlabs_state(struct provider_state *out, int status, const char *text)
{
    json_t *body = status == 200 ? foreign_json_text(text) : NULL;
    const char *word = json_string_value(json_object_get(body, "status"));
    memset(out, 0, sizeof *out);
    if (word)
        snprintf(out->status, sizeof out->status, "%s",
                 strcmp(word, "done") == 0     ? "completed"
                 : strcmp(word, "failed") == 0 ? "failed"
                                               : "in-progress");
    json_decref(body);
    return word != NULL;
}

static bool elevenlabs_configured(const struct warmer_config *config)
{
    return *config->elevenlabs_api_key != '\0';
}

const struct provider provider_elevenlabs = {
    .name = "elevenlabs",
    .ids_are_conversations = true,
    .carries_media = true,
    .configured = elevenlabs_configured,
    .missing = elevenlabs_missing,
    .dial = elevenlabs_dial,
    .dialled = elevenlabs_dialled,
    .look = elevenlabs_look,
    .found = elevenlabs_found,
    .ask = elevenlabs_ask,
    .state = elevenlabs_state,
};
