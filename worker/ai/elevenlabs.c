#include "worker/ai/elevenlabs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <event2/buffer.h>
#include <event2/http.h>
#include <jansson.h>

#include "common/base/foreign_json.h"
#include "worker/call/history.h"
#include "worker/config.h"
#include "worker/jscan.h"

/* The agent cannot be told what to say but by the caller's mouth. */
#define HINT_MARK "[a note of the phone system, not the caller's words] "

#define PAST_MARK                                                                              \
    "\n\nThe line was interrupted in the middle of this call and is back. Do not greet again. " \
    "What was said so far:\n"

/* ---- names for what the provider does not name ---- */

static void name_answer(struct ai_event *ev, uint64_t number)
{
    snprintf(ev->item, sizeof ev->item, "answer_%" PRIu64, number);
    snprintf(ev->response, sizeof ev->response, "%s", ev->item);
}

/* What the caller says after an answer began is not what was noticed before it. */
static void begin_answer(struct ai_memory *m)
{
    m->answers++;
    m->answer_open = true;
    m->answer_worded = m->answer_prompted = m->answer_quiet = false;
    m->utterance_open = false;
}

static void name_utterance(struct ai_memory *m, struct ai_event *ev)
{
    if (!m->utterance_open)
        m->utterances++;
    m->utterance_open = true;
    snprintf(ev->item, sizeof ev->item, "words_%" PRIu64, m->utterances);
}

/* ---- from the provider ---- */

static void bad(struct ai_event *ev, bool permanent, const char *error)
{
    ev->kind = AI_BAD;
    ev->permanent = permanent;
    snprintf(ev->error, sizeof ev->error, "%s", error);
}

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

static char *dumped(json_t *message)
{
    char *text = message ? json_dumps(message, JSON_COMPACT) : NULL;
    json_decref(message);
    return text;
}

/* The agent is set up in the provider's own console; with anything but mu-law callers hear noise. */
static void on_metadata(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    const char *out = text_of(body, "agent_output_audio_format"), *in = text_of(body, "user_input_audio_format");
    m->answer_open = m->utterance_open = false;
    m->interrupted = 0;
    m->audible_from = 0;
    if (strcmp(out, "ulaw_8000") != 0 || strcmp(in, "ulaw_8000") != 0) {
        bad(ev, true, "");
        snprintf(ev->error, sizeof ev->error,
                 "the agent must be set to ulaw_8000 both ways: it hears %.40s and speaks %.40s", in, out);
        return;
    }
    ev->kind = AI_CONFIGURED;
    snprintf(ev->session, sizeof ev->session, "%s", text_of(body, "conversation_id"));
}

static void on_ping(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    (void)m;
    ev->kind = AI_REPLY;
    ev->text = dumped(
        json_pack("{s:s, s:I}", "type", "pong", "event_id", json_integer_value(json_object_get(body, "event_id"))));
}

static void on_interruption(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    m->audible_from = json_integer_value(json_object_get(body, "event_id"));
    if (m->answer_open)
        m->interrupted = m->answers;
    m->answer_open = false;
    ev->kind = AI_SPEECH_STARTED;
    name_utterance(m, ev);
}

static void on_tentative(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    (void)body;
    ev->kind = AI_SPEECH_NOTICED;
    name_utterance(m, ev);
}

static void on_transcript(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    ev->kind = AI_CALLER_TRANSCRIPT;
    ev->text = strdup(text_of(body, "user_transcript"));
    name_utterance(m, ev);
    m->utterance_open = false;
    m->answer_prompted = true;
}

static bool too_late(const struct ai_memory *m, const json_t *body)
{
    const json_t *id = json_object_get(body, "event_id");
    return json_is_integer(id) && json_integer_value(id) < m->audible_from;
}

/* All of what will be said, near the first of its audio: before it, or behind. */
static void on_response(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    if (too_late(m, body))
        return;
    if (!m->answer_open || m->answer_worded)
        begin_answer(m);
    m->answer_worded = true;
    ev->kind = AI_TEXT_DONE;
    ev->text = strdup(text_of(body, "agent_response"));
    name_answer(ev, m->answers);
}

/* The same words, bit by bit and earlier, if the agent is set to send them. */
static void on_part(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    const char *type = text_of(body, "type");
    if (too_late(m, body))
        return;
    if (strcmp(type, "start") == 0 && (!m->answer_open || m->answer_worded))
        begin_answer(m);
    if (strcmp(type, "delta") != 0 || !m->answer_open || m->answer_worded)
        return;
    ev->kind = AI_TEXT;
    ev->text = strdup(text_of(body, "text"));
    name_answer(ev, m->answers);
}

static void on_correction(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    ev->kind = AI_HEARD;
    ev->text = strdup(text_of(body, "corrected_agent_response"));
    name_answer(ev, m->interrupted ? m->interrupted : m->answers);
    m->interrupted = 0;
}

static void on_tool_call(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    m->answer_prompted = true;
    ev->kind = AI_TOOL_CALL;
    snprintf(ev->tool_id, sizeof ev->tool_id, "%s", text_of(body, "tool_call_id"));
    snprintf(ev->tool_name, sizeof ev->tool_name, "%s", text_of(body, "tool_name"));
    ev->text = json_dumps(json_object_get(body, "parameters"), JSON_COMPACT);
}

static void on_error(struct ai_memory *m, struct ai_event *ev, const json_t *body)
{
    json_int_t code = json_integer_value(json_object_get(body, "code"));
    (void)m;
    bad(ev, code == 1008, ""); /* a close with this code follows: of the contract, or of its service */
    snprintf(ev->error, sizeof ev->error, "%lld %.60s %.100s", (long long)code, text_of(body, "error_type"),
             text_of(body, "message"));
}

static const struct {
    const char *type, *body;
    void (*take)(struct ai_memory *m, struct ai_event *ev, const json_t *body);
} events[] = {
    {"conversation_initiation_metadata", "conversation_initiation_metadata_event", on_metadata},
    {"ping", "ping_event", on_ping},
    {"interruption", "interruption_event", on_interruption},
    {"tentative_user_transcript", "tentative_user_transcription_event", on_tentative},
    {"user_transcript", "user_transcription_event", on_transcript},
    {"agent_response", "agent_response_event", on_response},
    {"agent_chat_response_part", "text_response_part", on_part},
    {"agent_response_correction", "agent_response_correction_event", on_correction},
    {"client_tool_call", "client_tool_call", on_tool_call},
    {"error", "error_event", on_error},
};

static void parse_with_library(struct ai_memory *m, const char *text, size_t len, size_t row, struct ai_event *ev)
{
    json_t *message = foreign_json(text, len, 0);
    const json_t *body = json_object_get(message, events[row].body);
    if (json_is_object(body))
        events[row].take(m, ev, body);
    else
        bad(ev, false, message ? "the event's own object is missing" : "not JSON");
    json_decref(message);
}

/* Sound that comes ahead of its words is not more of an answer that is complete. */
static bool goes_on(const struct ai_memory *m)
{
    return m->answer_open && !(m->answer_worded && m->answer_prompted && m->answer_quiet);
}

/* Of the audio event, in place: it is the per-frame path. Its alignment is skipped over. */
static void take_audio(struct ai_memory *m, const struct jscan_value *body, struct ai_event *ev)
{
    struct jscan s = jscan_open(body->at, body->len);
    struct jscan_value key, value, audio = {.kind = JSCAN_NULL};
    uint64_t id = 0;
    bool numbered = true;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "audio_base_64"))
            audio = value;
        else if (jscan_is(&key, "event_id"))
            numbered = jscan_uint(&value, &id);
    }
    if (!numbered || !jscan_base64(&audio)) {
        bad(ev, false, "audio without audio_base_64 or event_id");
        return;
    }
    ev->kind = AI_LATE_AUDIO;
    if ((int64_t)id < m->audible_from)
        return;
    if (!goes_on(m))
        begin_answer(m);
    m->answer_quiet = false;
    ev->kind = AI_AUDIO;
    ev->audio = audio.at;
    ev->audio_len = audio.len;
    name_answer(ev, m->answers);
}

static void elevenlabs_parse(struct ai_memory *m, char *text, size_t len, struct ai_event *ev)
{
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value, type = {.kind = JSCAN_NULL}, audio = {.kind = JSCAN_NULL};
    memset(ev, 0, sizeof *ev);
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "type"))
            type = value;
        else if (jscan_is(&key, "audio_event"))
            audio = value;
    }
    if (!jscan_ok(&s)) {
        bad(ev, false, "not a JSON object");
    } else if (jscan_is(&type, "audio")) {
        take_audio(m, &audio, ev);
    } else {
        for (size_t i = 0; i < ARRAY_LEN(events); i++) {
            if (jscan_is(&type, events[i].type))
                parse_with_library(m, text, len, i, ev);
        }
    }
}

/* ---- to the provider ---- */

/* The prompt, and after it what a new session must know of the conversation. malloc'ed. */
static char *prompt_with_past(const char *prompt, const struct history *past)
{
    struct evbuffer *out = evbuffer_new();
    char *text = NULL;
    size_t len;
    if (!out)
        return NULL;
    evbuffer_add_printf(out, "%s%s", prompt, past->count > 0 ? PAST_MARK : "");
    for (int i = 0; i < past->count; i++)
        evbuffer_add_printf(out, "%s: %s\n", past->turns[i].speaker, past->turns[i].text);
    len = evbuffer_get_length(out);
    text = malloc(len + 1);
    if (text) {
        evbuffer_remove(out, text, len);
        text[len] = '\0';
    }
    evbuffer_free(out);
    return text;
}

/* An agent begins to speak, unless its first message is empty. One that takes a conversation up in a quiet moment
 * waits; else it goes on where the one before was cut off, or says again the last thing that the caller heard from us,
 * in whatever language that was; it never greets again. */
static const char *first_words(const struct ai_settings *s)
{
    if (s->unsaid)
        return s->unsaid;
    for (int i = s->past->count - 1; i >= 0; i--) {
        if (strcmp(s->past->turns[i].speaker, "assistant") == 0)
            return s->past->turns[i].text;
    }
    return s->greeting;
}

static void set(json_t *object, const char *name, const char *text)
{
    if (*text)
        json_object_set_new(object, name, json_string(text));
}

/* Of the languages of one country alone it knows the Portuguese of Brazil. Any value that it does not know ends the
 * conversation. */
static void set_language(json_t *agent, const char *tag)
{
    char language[3];
    if (!ai_iso_639_1(language, tag))
        return;
    if (strcmp(language, "pt") == 0 && tag[2] && strcasecmp(tag + 3, "br") == 0)
        set(agent, "language", "pt-br");
    else
        set(agent, "language", language);
}

/* Each override must be allowed in the agent's security settings; what is not set is left out. */
static json_t *overrides(const struct ai_settings *s)
{
    json_t *all = json_pack("{s:{}}", "agent"), *agent = json_object_get(all, "agent");
    char *prompt = prompt_with_past(s->instructions, s->past);
    if (s->waits)
        json_object_set_new(agent, "first_message", json_string(""));
    else
        set(agent, "first_message", first_words(s));
    set_language(agent, s->language);
    if (prompt && *prompt)
        json_object_set_new(agent, "prompt", json_pack("{s:s}", "prompt", prompt));
    if (*s->voice)
        json_object_set_new(all, "tts", json_pack("{s:s}", "voice_id", s->voice));
    free(prompt);
    return all;
}

static char *elevenlabs_session(const struct ai_settings *s)
{
    return dumped(json_pack("{s:s, s:s, s:{s:s}, s:o}", "type", "conversation_initiation_client_data", "user_id",
                            s->call_sid, "dynamic_variables", "call_sid", s->call_sid, "conversation_config_override",
                            overrides(s)));
}

static char *user_message(const char *mark, const char *text)
{
    json_t *whole = json_sprintf("%s%s", mark, text);
    return dumped(json_pack("{s:s, s:o}", "type", "user_message", "text", whole));
}

static char *elevenlabs_past_turn(const char *id, const char *speaker, const char *text)
{
    (void)id;
    if (strcmp(speaker, "caller") == 0)
        return user_message("", text);
    return dumped(json_pack("{s:s, s:s}", "type", "contextual_update", "text", text));
}

/* is_error stays false: with it the agent's settings may keep from the model what went wrong, and
 * the output says that in words. */
static char *elevenlabs_tool_output(const char *call_id, const char *output)
{
    return dumped(json_pack("{s:s, s:s, s:s, s:b}", "type", "client_tool_result", "tool_call_id", call_id, "result",
                            output, "is_error", 0));
}

static char *elevenlabs_response(const char *instructions)
{
    return user_message(HINT_MARK, instructions);
}

static size_t elevenlabs_append(char *out, size_t size, const char *base64, size_t len)
{
    static const char head[] = "{\"user_audio_chunk\":\"", tail[] = "\"}";
    if (sizeof head + len + sizeof tail > size)
        return 0;
    memcpy(out, head, sizeof head - 1);
    memcpy(out + sizeof head - 1, base64, len);
    memcpy(out + sizeof head - 1 + len, tail, sizeof tail - 1);
    return sizeof head - 1 + len + sizeof tail - 1;
}

/* ---- where sessions are opened ---- */

static const char *elevenlabs_lacks(const struct worker_config *config)
{
    (void)config; /* the agent may come with the call, and may be open to anybody */
    return NULL;
}

/* Writes format with the agent's id in it; false if it does not fit. */
static bool write_with_id(char *out, size_t size, const char *format_head, const char *agent_id)
{
    char *id = evhttp_encode_uri(agent_id);
    int n = id ? snprintf(out, size, "%s?agent_id=%s", format_head, id) : -1;
    free(id);
    return n > 0 && (size_t)n < size;
}

static bool agent_address(struct ai_target *target, const struct ai_target *base, const char *agent_id)
{
    *target = *base;
    return write_with_id(target->path, sizeof target->path, base->path, agent_id);
}

static bool agent_sign_request(const struct worker_config *config, const struct ai_target *base, const char *agent_id,
                               char *url, size_t url_size, char *header, size_t header_size)
{
    char head[sizeof base->host + sizeof base->path + 64];
    if (!*config->elevenlabs_api_key)
        return false;
    snprintf(head, sizeof head, "%s://%s:%u%s/get-signed-url", base->tls ? "https" : "http", base->host,
             (unsigned)base->port, base->path);
    snprintf(header, header_size, "xi-api-key: %s", config->elevenlabs_api_key);
    return write_with_id(url, url_size, head, agent_id);
}

static const char *agent_sign_answer(struct ai_target *target, int status, const char *body, size_t len)
{
    json_t *answer = foreign_json(body, len, 0);
    const char *url = json_string_value(json_object_get(answer, "signed_url")), *wrong = NULL;
    if (status == 401 || status == 403)
        wrong = "the key was refused";
    else if (status == 404 || status == 422)
        wrong = "no such agent";
    else if (status != 200)
        wrong = "the provider cannot sign now";
    else if (!url || !ai_target_parse(target, url))
        wrong = "the answer holds no signed_url";
    json_decref(answer);
    return wrong;
}

static const struct ai_agent agent = {
    .address = agent_address,
    .sign_request = agent_sign_request,
    .sign_answer = agent_sign_answer,
};

const struct provider provider_elevenlabs = {
    .name = "elevenlabs",
    .default_url = "wss://api.elevenlabs.io/v1/convai/conversation",
    .default_voice = "",
    .agent = &agent,
    .lacks = elevenlabs_lacks,
    .parse = elevenlabs_parse,
    .session = elevenlabs_session,
    .past_turn = elevenlabs_past_turn,
    .tool_output = elevenlabs_tool_output,
    .response = elevenlabs_response,
    .append = elevenlabs_append,
};
