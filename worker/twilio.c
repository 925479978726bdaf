#include "worker/twilio.h"

#include <stdio.h>
#include <string.h>

#include "worker/jscan.h"

static void bad(struct carrier_event *ev, const char *error)
{
    ev->kind = CARRIER_BAD;
    ev->error = error;
}

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
        bad(ev, "start: only audio/x-mulaw, 8000 Hz, one channel is served");
}

static void parse_parameters(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, TOKEN_PARAMETER) && !jscan_copy(&value, ev->token, sizeof ev->token))
            bad(ev, "start: the token is too long");
    }
}

static void parse_start(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
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
            parse_parameters(&value, ev);
    }
    if (!fits || !ev->call_sid[0] || !ev->stream_sid[0])
        bad(ev, "start: callSid or streamSid is missing or too long");
    else if (!format)
        bad(ev, "start: mediaFormat is missing");
}

static void parse_media(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_AUDIO;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "payload") && jscan_base64(&value)) {
            ev->audio = value.at;
            ev->audio_len = value.len;
        } else if (jscan_is(&key, "timestamp") && !jscan_uint(&value, &ev->timestamp_ms)) {
            bad(ev, "media: timestamp is no number");
        } else if (jscan_is(&key, "track") && !jscan_is(&value, "inbound")) {
            ev->kind = CARRIER_NOTHING; /* our own voice, should somebody ask for both tracks */
        }
    }
    if (!ev->audio)
        bad(ev, "media: payload is missing or not base64");
}

static void parse_mark(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_PLAYED;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "name") && !jscan_copy(&value, ev->mark, sizeof ev->mark))
            ev->kind = CARRIER_NOTHING; /* not one of ours: ours are short */
    }
}

static void parse_dtmf(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_DTMF;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "digit") && value.len == 1)
            ev->digit = value.at[0];
    }
    if (!ev->digit || !strchr("0123456789*#", ev->digit))
        bad(ev, "dtmf: digit is missing");
}

static const struct {
    const char *event;
    const char *member;
    void (*parse)(const struct jscan_value *object, struct carrier_event *ev);
} with_body[] = {
    {"media", "media", parse_media},
    {"mark", "mark", parse_mark},
    {"start", "start", parse_start},
    {"dtmf", "dtmf", parse_dtmf},
};

static void parse_body(const struct jscan_value *event, const struct jscan_value *bodies, struct carrier_event *ev)
{
    for (size_t i = 0; i < ARRAY_LEN(with_body); i++) {
        if (!jscan_is(event, with_body[i].event))
            continue;
        if (bodies[i].kind == JSCAN_OBJECT)
            with_body[i].parse(&bodies[i], ev);
        else
            bad(ev, "the event's own object is missing");
        return;
    }
    if (jscan_is(event, "stop"))
        ev->kind = CARRIER_STOP;
}

static void twilio_parse(char *text, size_t len, struct carrier_event *ev)
{
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value, event = {.kind = JSCAN_NULL};
    struct jscan_value bodies[ARRAY_LEN(with_body)] = {{.kind = JSCAN_NULL}};
    *ev = (struct carrier_event){.kind = CARRIER_NOTHING};
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "event"))
            event = value;
        for (size_t i = 0; i < ARRAY_LEN(with_body); i++) {
            if (jscan_is(&key, with_body[i].member))
                bodies[i] = value;
        }
    }
    if (!jscan_ok(&s))
        bad(ev, "not a JSON object");
    else if (event.kind != JSCAN_STRING)
        bad(ev, "event is missing");
    else
        parse_body(&event, bodies, ev);
}

static size_t checked(int n, size_t size)
{
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* By hand and not by snprintf: it is the per-frame path, and the audio has its length already. */
static size_t twilio_audio(char *out, size_t size, const char *stream_sid, const char *base64, size_t len)
{
    static const char head[] = "{\"event\":\"media\",\"streamSid\":\"", middle[] = "\",\"media\":{\"payload\":\"",
                      tail[] = "\"}}";
    size_t sid = strlen(stream_sid), n = 0;
    if (sizeof head + sid + sizeof middle + len + sizeof tail > size)
        return 0;
    memcpy(out, head, sizeof head - 1);
    n += sizeof head - 1;
    memcpy(out + n, stream_sid, sid);
    n += sid;
    memcpy(out + n, middle, sizeof middle - 1);
    n += sizeof middle - 1;
    memcpy(out + n, base64, len);
    n += len;
    memcpy(out + n, tail, sizeof tail - 1);
    return n + sizeof tail - 1;
}

static size_t twilio_mark(char *out, size_t size, const char *stream_sid, const char *name)
{
    return checked(snprintf(out, size, "{\"event\":\"mark\",\"streamSid\":\"%s\",\"mark\":{\"name\":\"%s\"}}", stream_sid,
                            name),
                   size);
}

static size_t twilio_clear(char *out, size_t size, const char *stream_sid)
{
    return checked(snprintf(out, size, "{\"event\":\"clear\",\"streamSid\":\"%s\"}", stream_sid), size);
}

const struct carrier carrier_twilio = {
    .name = "twilio",
    .path = "/media",
    .parse = twilio_parse,
    .audio = twilio_audio,
    .mark = twilio_mark,
    .clear = twilio_clear,
};
