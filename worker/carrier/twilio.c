#include "worker/carrier/twilio.h"

#include <stdio.h>
#include <string.h>

#include "worker/carrier/stream_json.h"

static void parse_format(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    uint64_t rate = 0, channels = 0;
    bool mulaw = false;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "encoding"))
            mulaw = jscan_is(&value, "audio/x-mulaw");
        else if (jscan_is(&key, "sampleRate"))
            (void)jscan_uint(&value, &rate);
        else if (jscan_is(&key, "channels"))
            (void)jscan_uint(&value, &channels);
    }
    if (!mulaw || rate != 8000 || channels != 1)
        stream_json_bad(ev, "start: only audio/x-mulaw, 8000 Hz, one channel is served");
}

/* A call that we dialled has an id of ours, which counts instead of the carrier's: the token vouches for it. */
static void parse_parameters(const struct jscan_value *object, struct carrier_event *ev, struct jscan_value *own_sid)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, TOKEN_PARAMETER) && !jscan_copy(&value, ev->token, sizeof ev->token))
            stream_json_bad(ev, "start: the token is too long");
        else if (jscan_is(&key, CALL_PARAMETER))
            *own_sid = value;
    }
}

static void parse_start(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value, own_sid = {0};
    bool format = false, fits = true;
    ev->kind = CARRIER_START;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "callSid"))
            fits = jscan_copy(&value, ev->call_sid, sizeof ev->call_sid) && fits;
        else if (jscan_is(&key, "streamSid"))
            fits = jscan_copy(&value, ev->stream_sid, sizeof ev->stream_sid) && fits;
        else if (jscan_is(&key, "mediaFormat") && value.kind == JSCAN_OBJECT) {
            format = true;
            parse_format(&value, ev);
        } else if (jscan_is(&key, "customParameters") && value.kind == JSCAN_OBJECT)
            parse_parameters(&value, ev, &own_sid);
    }
    if (own_sid.len > 0)
        fits = jscan_copy(&own_sid, ev->call_sid, sizeof ev->call_sid) && fits;
    if (!fits || !ev->call_sid[0] || !ev->stream_sid[0])
        stream_json_bad(ev, "start: callSid or streamSid is missing or too long");
    else if (!format)
        stream_json_bad(ev, "start: mediaFormat is missing");
}

static const struct stream_json json = {
    .audio = {JFORM_TEXT("{\"event\":\"media\",\"sequenceNumber\":\""),
              JFORM_TEXT("\",\"media\":{\"track\":\"inbound\",\"chunk\":\""), JFORM_TEXT("\",\"timestamp\":\""),
              JFORM_TEXT("\",\"payload\":\""), JFORM_TEXT("\"},\"streamSid\":\""), JFORM_TEXT("\"}")},
    .rows = {
        {"media", "media", stream_json_media},
        {"mark", "mark", stream_json_mark},
        {"start", "start", parse_start},
        {"dtmf", "dtmf", stream_json_dtmf},
    },
};

static void twilio_parse(char *text, size_t len, struct carrier_event *ev)
{
    stream_json_parse(&json, text, len, ev);
}

/* By hand and not by snprintf: it is the per-frame path, and the audio has its length already. */
static size_t twilio_audio(char *out, size_t size, const char *stream_sid, const char *base64, size_t len)
{
    static const char begin[] = "{\"event\":\"media\",\"streamSid\":\"", end[] = "\",\"media\":{\"payload\":\"";
    char head[CARRIER_AUDIO_OVERHEAD];
    size_t sid = strlen(stream_sid), n = sizeof begin - 1;
    if (sid >= CARRIER_SID_SIZE)
        return 0;
    memcpy(head, begin, n);
    memcpy(head + n, stream_sid, sid);
    n += sid;
    memcpy(head + n, end, sizeof end - 1);
    return stream_json_join(out, size, head, n + sizeof end - 1, base64, len);
}

static size_t twilio_mark(char *out, size_t size, const char *stream_sid, const char *name)
{
    int n = snprintf(out, size, "{\"event\":\"mark\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%s\"}}", stream_sid, name);
    return stream_json_written(n, size);
}

static size_t twilio_clear(char *out, size_t size, const char *stream_sid)
{
    return stream_json_written(snprintf(out, size, "{\"event\":\"clear\",\"streamSid\":\"%s\"}", stream_sid), size);
}

const struct carrier carrier_twilio = {
    .name = "twilio",
    .path = "/media",
    .keeps_order = true,
    .ends_call_on_close = true,
    .parse = twilio_parse,
    .audio = twilio_audio,
    .mark = twilio_mark,
    .clear = twilio_clear,
};
