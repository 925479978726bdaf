#include "worker/carrier/telnyx.h"

#include <stdio.h>
#include <string.h>

#include <jansson.h>

#include "common/base/base64.h"
#include "common/base/foreign_json.h"
#include "worker/carrier/stream_json.h"

/* Audio messages hold 20 ms at least (Telnyx documentation: 20 ms to 30 s). */
enum { FRAME_MIN_BYTES = 160, MULAW_SILENCE = 0xFF };

/* Numbers are strings in some messages and numbers in others. */
static json_int_t number(const json_t *value)
{
    const char *text = json_string_value(value);
    long long n = 0;
    char rest;
    if (json_is_integer(value))
        return json_integer_value(value);
    return text && sscanf(text, "%lld%c", &n, &rest) == 1 ? n : 0;
}

static bool is_pcmu(const json_t *format)
{
    const char *encoding = json_string_value(json_object_get(format, "encoding"));
    json_t *channels = json_object_get(format, "channels");
    return encoding && (strcmp(encoding, "PCMU") == 0 || strcmp(encoding, "audio/x-mulaw") == 0) &&
           number(json_object_get(format, "sample_rate")) == 8000 && (!channels || number(channels) == 1);
}

/* {"token": "..."} in frames, [{"name": "token", "value": "..."}] in the API's own description. */
static const char *parameter_token(const json_t *parameters)
{
    size_t i;
    json_t *one;
    json_array_foreach(parameters, i, one) {
        const char *name = json_string_value(json_object_get(one, "name"));
        if (name && strcmp(name, TOKEN_PARAMETER) == 0)
            return json_string_value(json_object_get(one, "value"));
    }
    return json_string_value(json_object_get(parameters, TOKEN_PARAMETER));
}

/* client_state is whatever the call's owner put there; only what looks like a token is taken. */
static void take_client_state(struct carrier_event *ev, const char *state)
{
    uint8_t raw[TOKEN_SIZE];
    size_t len = strlen(state);
    ptrdiff_t n = len / 4 * 3 < sizeof raw ? base64_decode(raw, state, len) : -1;
    if (n <= 0)
        return;
    memcpy(ev->token, raw, (size_t)n);
    ev->token[n] = '\0';
}

static void take_token(struct carrier_event *ev, const json_t *message, const json_t *start)
{
    const json_t *inner = json_object_get(start, "custom_parameters");
    const char *token = parameter_token(inner ? inner : json_object_get(message, "custom_parameters"));
    const char *state = json_string_value(json_object_get(start, "client_state"));
    if (!token && state)
        take_client_state(ev, state);
    else if (token && snprintf(ev->token, sizeof ev->token, "%s", token) >= (int)sizeof ev->token)
        stream_json_bad(ev, "start: the token is too long");
}

static bool take(char *out, size_t size, const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));
    return text && *text && snprintf(out, size, "%s", text) < (int)size;
}

static void take_start(const json_t *message, struct carrier_event *ev)
{
    const json_t *start = json_object_get(message, "start");
    ev->kind = CARRIER_START;
    if (!take(ev->call_sid, sizeof ev->call_sid, start, "call_control_id") ||
        !take(ev->stream_sid, sizeof ev->stream_sid, message, "stream_id"))
        stream_json_bad(ev, "start: call_control_id or stream_id is missing or too long");
    else if (!is_pcmu(json_object_get(start, "media_format")))
        stream_json_bad(ev, "start: only PCMU, 8000 Hz, one channel is served");
    else
        take_token(ev, message, start);
}

/* What the carrier did not like of ours. The code is a number, or a string of digits. */
static void parse_error(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_REFUSED;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "code") && !jscan_uint(&value, &ev->code))
            ev->code = 0;
    }
}

/* The object alone is not enough: the stream's id is beside it. */
static void parse_start(const struct jscan_value *object, struct carrier_event *ev)
{
    (void)object;
    ev->kind = CARRIER_START;
}

static const struct stream_json json = {
    .audio = {JFORM_TEXT("{\"event\":\"media\",\"sequence_number\":\""),
              JFORM_TEXT("\",\"media\":{\"track\":\"inbound\",\"chunk\":\""), JFORM_TEXT("\",\"timestamp\":\""),
              JFORM_TEXT("\",\"payload\":\""), JFORM_TEXT("\"},\"stream_id\":\""), JFORM_TEXT("\"}")},
    .rows = {
        {"media", "media", stream_json_media},
        {"mark", "mark", stream_json_mark},
        {"start", "start", parse_start},
        {"dtmf", "dtmf", stream_json_dtmf},
        {"error", "payload", parse_error},
    },
};

static void telnyx_parse(char *text, size_t len, struct carrier_event *ev)
{
    json_t *message;
    stream_json_parse(&json, text, len, ev);
    if (ev->kind != CARRIER_START)
        return;
    message = foreign_json(text, len, 0); /* once a call: the JSON library may read it */
    take_start(message, ev);
    json_decref(message);
}

/* ---- to the carrier; no message names the stream ---- */

/* A scrap of less than 20 ms is filled up with silence, or Telnyx would refuse it. */
static size_t filled(char out[BASE64_TEXT_SIZE(FRAME_MIN_BYTES)], const char *base64, size_t len)
{
    uint8_t frame[FRAME_MIN_BYTES + 2];
    ptrdiff_t n = base64_decode(frame, base64, len);
    if (n < 0)
        return 0;
    memset(frame + n, MULAW_SILENCE, sizeof frame - (size_t)n);
    return base64_encode(out, frame, FRAME_MIN_BYTES);
}

static size_t telnyx_audio(char *out, size_t size, const char *stream_sid, const char *base64, size_t len)
{
    static const char head[] = "{\"event\":\"media\",\"media\":{\"payload\":\"";
    char scrap[BASE64_TEXT_SIZE(FRAME_MIN_BYTES)];
    (void)stream_sid;
    if (base64_decoded_size(base64, len) < FRAME_MIN_BYTES) {
        len = filled(scrap, base64, len);
        base64 = scrap;
    }
    return len > 0 ? stream_json_join(out, size, head, sizeof head - 1, base64, len) : 0;
}

static size_t telnyx_mark(char *out, size_t size, const char *stream_sid, const char *name)
{
    (void)stream_sid;
    return stream_json_written(snprintf(out, size, "{\"event\":\"mark\",\"mark\":{\"name\":\"%s\"}}", name), size);
}

static size_t telnyx_clear(char *out, size_t size, const char *stream_sid)
{
    (void)stream_sid;
    return stream_json_written(snprintf(out, size, "{\"event\":\"clear\"}"), size);
}

const struct carrier carrier_telnyx = {
    .name = "telnyx",
    .path = "/media/telnyx",
    .keeps_order = false,
    .ends_call_on_close = false,
    .parse = telnyx_parse,
    .audio = telnyx_audio,
    .mark = telnyx_mark,
    .clear = telnyx_clear,
};
