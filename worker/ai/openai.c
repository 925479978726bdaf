#include "worker/ai/openai.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>
#include <jansson.h>

#include "common/base/foreign_json.h"
#include "worker/config.h"
#include "worker/jform.h"

/* server_vad timings: the documented defaults, sent explicitly because the service's own vary. */
enum { VAD_PREFIX_MS = 300, VAD_SILENCE_MS = 500 };

static void take(char out[AI_ID_SIZE], const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    snprintf(out, AI_ID_SIZE, "%s", text ? text : "");
}

static void take_text(struct ai_event *ev, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    ev->text = strdup(text ? text : "");
}

static void take_ids(struct ai_event *ev, const json_t *event)
{
    take(ev->item, event, "item_id");
    take(ev->response, event, "response_id");
    ev->content_index = (int)json_integer_value(json_object_get(event, "content_index"));
}

static bool is_pcmu(const json_t *audio, const char *side)
{
    const json_t *format = json_object_get(json_object_get(audio, side), "format");
    const char *type = json_string_value(json_object_get(format, "type"));
    return type && strcmp(type, "audio/pcmu") == 0;
}

static void take_expiry(struct ai_event *ev, const json_t *event)
{
    ev->expires_s = json_integer_value(json_object_get(json_object_get(event, "session"), "expires_at"));
}

static void on_session_created(struct ai_event *ev, const json_t *event)
{
    take_expiry(ev, event);
}

/* A session.update that was refused leaves 24 kHz PCM in force, which a caller hears as noise. */
static void on_session_updated(struct ai_event *ev, const json_t *event)
{
    const json_t *audio = json_object_get(json_object_get(event, "session"), "audio");
    take_expiry(ev, event);
    if (is_pcmu(audio, "input") && is_pcmu(audio, "output")) {
        ev->kind = AI_CONFIGURED;
        return;
    }
    ev->kind = AI_BAD;
    snprintf(ev->error, sizeof ev->error, "the session is not audio/pcmu on both sides");
}

static void on_speech_started(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_SPEECH_STARTED;
    take_ids(ev, event);
}

static void on_speech_stopped(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_SPEECH_STOPPED;
    take_ids(ev, event);
}

static void on_transcript(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_CALLER_TRANSCRIPT;
    take_ids(ev, event);
    take_text(ev, event, "transcript"); /* absent in "failed": the turn was there, its words are not */
}

static void on_text_delta(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_TEXT;
    take_ids(ev, event);
    take_text(ev, event, "delta");
}

static void on_text_done(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_TEXT_DONE;
    take_ids(ev, event);
    take_text(ev, event, "transcript");
}

static void on_response_created(struct ai_event *ev, const json_t *event)
{
    ev->kind = AI_RESPONSE_STARTED;
    take(ev->response, json_object_get(event, "response"), "id");
}

/* The one place a function call is taken from; arguments.done and response.done repeat it. */
static void on_output_item_done(struct ai_event *ev, const json_t *event)
{
    const json_t *item = json_object_get(event, "item");
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *status = json_string_value(json_object_get(item, "status"));
    if (!type || strcmp(type, "function_call") != 0)
        return;
    if (status && strcmp(status, "incomplete") == 0)
        return; /* the caller spoke meanwhile: it is half of the arguments, or a thing that is no longer wanted */
    ev->kind = AI_TOOL_CALL;
    take(ev->response, event, "response_id");
    take(ev->tool_id, item, "call_id");
    take(ev->tool_name, item, "name");
    take_text(ev, item, "arguments");
}

static void take_error(struct ai_event *ev, const json_t *error)
{
    static const char *const permanent[] = {
        "invalid_api_key",   "insufficient_quota", "billing_hard_limit_reached", "account_deactivated",
        "missing_model",     "invalid_model",      "model_not_found",            "beta_api_shape_disabled",
    };
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    const char *type = json_string_value(json_object_get(error, "type"));
    snprintf(ev->error, sizeof ev->error, "%s: %s", code ? code : type ? type : "error", message ? message : "");
    for (size_t i = 0; code && i < ARRAY_LEN(permanent); i++)
        ev->permanent = ev->permanent || strcmp(code, permanent[i]) == 0;
    ev->transient = !ev->permanent && type && strcmp(type, "server_error") == 0;
}

static void take_reason(struct ai_event *ev, const json_t *details)
{
    const char *reason = json_string_value(json_object_get(details, "reason"));
    snprintf(ev->error, sizeof ev->error, "incomplete: %s", reason ? reason : "");
}

static void on_response_done(struct ai_event *ev, const json_t *event)
{
    static const char *const names[] = {"completed", "cancelled", "incomplete", "failed"};
    const json_t *response = json_object_get(event, "response");
    const char *status = json_string_value(json_object_get(response, "status"));
    ev->kind = AI_RESPONSE_DONE;
    ev->status = AI_FAILED;
    take(ev->response, response, "id");
    for (size_t i = 0; status && i < ARRAY_LEN(names); i++) {
        if (strcmp(status, names[i]) == 0)
            ev->status = (enum ai_status)i;
    }
    if (ev->status == AI_FAILED)
        take_error(ev, json_object_get(json_object_get(response, "status_details"), "error"));
    else if (ev->status == AI_INCOMPLETE)
        take_reason(ev, json_object_get(response, "status_details"));
}

static void on_error(struct ai_event *ev, const json_t *event)
{
    take_error(ev, json_object_get(event, "error"));
    ev->kind = ev->permanent ? AI_BAD : AI_REFUSED;
}

static const struct {
    const char *type;
    void (*take)(struct ai_event *ev, const json_t *event);
} events[] = {
    {"session.created", on_session_created},
    {"session.updated", on_session_updated},
    {"input_audio_buffer.speech_started", on_speech_started},
    {"input_audio_buffer.speech_stopped", on_speech_stopped},
    {"conversation.item.input_audio_transcription.completed", on_transcript},
    {"conversation.item.input_audio_transcription.failed", on_transcript},
    {"response.created", on_response_created},
    {"response.output_audio_transcript.delta", on_text_delta},
    {"response.output_audio_transcript.done", on_text_done},
    {"response.output_item.done", on_output_item_done},
    {"response.done", on_response_done},
    {"error", on_error},
};

static void bad(struct ai_event *ev, const char *error)
{
    ev->kind = AI_BAD;
    snprintf(ev->error, sizeof ev->error, "%s", error);
}

static void parse_with_library(const char *text, size_t len, size_t row, struct ai_event *ev)
{
    json_t *event = foreign_json(text, len, 0);
    if (event)
        events[row].take(ev, event);
    else
        bad(ev, "not JSON");
    json_decref(event);
}

/* Members of an audio delta, kept while the type is not known yet: it may come last. */
struct delta {
    struct jscan_value type, audio, item, response, content_index;
};

static bool scan(const char *text, size_t len, struct delta *d)
{
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value;
    memset(d, 0, sizeof *d);
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "type"))
            d->type = value;
        else if (jscan_is(&key, "delta"))
            d->audio = value;
        else if (jscan_is(&key, "item_id"))
            d->item = value;
        else if (jscan_is(&key, "response_id"))
            d->response = value;
        else if (jscan_is(&key, "content_index"))
            d->content_index = value;
    }
    return jscan_ok(&s);
}

static void take_audio(struct ai_event *ev, struct delta *d)
{
    uint64_t index = 0;
    bool base64 = jscan_base64(&d->audio);
    ev->kind = AI_AUDIO;
    ev->audio = d->audio.at;
    ev->audio_len = d->audio.len;
    if (d->content_index.len > 0 && jscan_uint(&d->content_index, &index))
        ev->content_index = (int)index;
    if (!base64 || !jscan_copy(&d->item, ev->item, sizeof ev->item) ||
        !jscan_copy(&d->response, ev->response, sizeof ev->response))
        bad(ev, "audio delta without delta, item_id or response_id");
}

static bool scan_delta(const char *text, size_t len, struct delta *d)
{
    enum { EVENT, RESPONSE, ITEM, OUTPUT_INDEX, CONTENT_INDEX, AUDIO, VALUES };
    static const struct jform_text form[VALUES + 1] = {
        JFORM_TEXT("{\"type\":\"response.output_audio.delta\",\"event_id\":\""), JFORM_TEXT("\",\"response_id\":\""),
        JFORM_TEXT("\",\"item_id\":\""), JFORM_TEXT("\",\"output_index\":"), JFORM_TEXT(",\"content_index\":"),
        JFORM_TEXT(",\"delta\":\""), JFORM_TEXT("\"}")};
    struct jscan_value values[VALUES];
    if (!jform_take(form, ARRAY_LEN(form), text, len, values))
        return false;
    d->audio = values[AUDIO];
    d->item = values[ITEM];
    d->response = values[RESPONSE];
    d->content_index = values[CONTENT_INDEX];
    return true;
}

static void openai_parse(struct ai_memory *memory, char *text, size_t len, struct ai_event *ev)
{
    struct delta d;
    memset(ev, 0, sizeof *ev);
    if (scan_delta(text, len, &d)) {
        take_audio(ev, &d);
        return;
    }
    if (!scan(text, len, &d)) {
        bad(ev, "not a JSON object");
        return;
    }
    if (jscan_is(&d.type, "response.output_audio.delta")) {
        take_audio(ev, &d);
        return;
    }
    for (size_t i = 0; i < ARRAY_LEN(events); i++) {
        if (jscan_is(&d.type, events[i].type)) {
            parse_with_library(text, len, i, ev);
            if (ev->expires_s)
                memory->expires_s = ev->expires_s;
            return;
        }
    }
}

/* Takes the reference and gives the text. */
static char *dumped(json_t *event)
{
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    json_decref(event);
    return text;
}

/* For one bad value the service discards all settings. */
static json_t *transcription(const struct ai_settings *s)
{
    char language[3];
    if (!*s->transcription_model)
        return json_null();
    if (!ai_iso_639_1(language, s->language))
        return json_pack("{s:s}", "model", s->transcription_model);
    return json_pack("{s:s, s:s}", "model", s->transcription_model, "language", language);
}

static char *openai_session(const struct ai_settings *s)
{
    return dumped(json_pack(
        "{s:s, s:{s:s, s:[s], s:s*, s:{s:{s:{s:s}, s:o, s:{s:s, s:f, s:i, s:i, s:b, s:b}}, s:{s:{s:s}, s:s}}, s:O, s:s}}",
        "type", "session.update", "session", "type", "realtime", "output_modalities", "audio", "instructions",
        s->instructions, "audio", "input", "format", "type", "audio/pcmu", "transcription", transcription(s),
        "turn_detection", "type", "server_vad", "threshold", 0.5, "prefix_padding_ms", VAD_PREFIX_MS,
        "silence_duration_ms", VAD_SILENCE_MS, "create_response", 1, "interrupt_response", 1, "output", "format", "type",
        "audio/pcmu", "voice", s->voice, "tools", s->tools, "tool_choice", "auto"));
}

static char *openai_instructions(const char *instructions)
{
    return dumped(json_pack("{s:s, s:{s:s, s:s}}", "type", "session.update", "session", "type", "realtime",
                            "instructions", instructions));
}

static char *openai_past_turn(const char *id, const char *speaker, const char *text)
{
    bool assistant = strcmp(speaker, "assistant") == 0;
    const char *role = assistant ? "assistant" : strcmp(speaker, "caller") == 0 ? "user" : "system";
    return dumped(json_pack("{s:s, s:{s:s, s:s, s:s, s:[{s:s, s:s}]}}", "type", "conversation.item.create", "item", "id",
                            id, "type", "message", "role", role, "content", "type",
                            assistant ? "output_text" : "input_text", "text", text));
}

static char *openai_tool_output(const char *call_id, const char *output)
{
    return dumped(json_pack("{s:s, s:{s:s, s:s, s:s}}", "type", "conversation.item.create", "item", "type",
                            "function_call_output", "call_id", call_id, "output", output));
}

static char *openai_response(const char *instructions)
{
    if (!instructions)
        return dumped(json_pack("{s:s}", "type", "response.create"));
    return dumped(
        json_pack("{s:s, s:{s:s}}", "type", "response.create", "response", "instructions", instructions));
}

static char *openai_cancel(void)
{
    return strdup("{\"type\":\"response.cancel\"}");
}

static char *openai_truncate(const char *item, int content_index, int64_t heard_ms)
{
    return dumped(json_pack("{s:s, s:s, s:i, s:I}", "type", "conversation.item.truncate", "item_id", item,
                            "content_index", content_index, "audio_end_ms", (json_int_t)heard_ms));
}

static size_t openai_append(char *out, size_t size, const char *base64, size_t len)
{
    static const char head[] = "{\"type\":\"input_audio_buffer.append\",\"audio\":\"", tail[] = "\"}";
    if (sizeof head + len + sizeof tail > size)
        return 0;
    memcpy(out, head, sizeof head - 1);
    memcpy(out + sizeof head - 1, base64, len);
    memcpy(out + sizeof head - 1 + len, tail, sizeof tail - 1);
    return sizeof head - 1 + len + sizeof tail - 1;
}

static void openai_target(const struct worker_config *config, struct ai_target *target)
{
    char *model = evhttp_encode_uri(config->ai_model);
    size_t used = strlen(target->path);
    snprintf(target->path + used, sizeof target->path - used, "?model=%s", model ? model : "");
    snprintf(target->headers, sizeof target->headers, "Authorization: Bearer %s\r\n", config->openai_api_key);
    free(model);
}

static const char *openai_lacks(const struct worker_config *config)
{
    return *config->openai_api_key ? NULL : "RINGFLEET_OPENAI_API_KEY is required with RINGFLEET_AI_PROVIDER=openai";
}

const struct provider provider_openai = {
    .name = "openai",
    .default_url = "wss://api.openai.com/v1/realtime",
    .default_voice = "marin",
    .lacks = openai_lacks,
    .target = openai_target,
    .parse = openai_parse,
    .session = openai_session,
    .instructions = openai_instructions,
    .past_turn = openai_past_turn,
    .tool_output = openai_tool_output,
    .response = openai_response,
    .cancel = openai_cancel,
    .truncate = openai_truncate,
    .append = openai_append,
};
