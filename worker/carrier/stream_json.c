#include "worker/carrier/stream_json.h"

#include <string.h>

void stream_json_bad(struct carrier_event *ev, const char *error)
{
    ev->kind = CARRIER_BAD;
    ev->error = error;
}

/* false: it is there and no number. */
static bool take_number(const struct jscan_value *v, uint64_t *out)
{
    return !v->at || jscan_uint(v, out);
}

/* timestamp and chunk may be missing (at: NULL). */
static void take_audio(struct jscan_value *payload, const struct jscan_value *timestamp, const struct jscan_value *chunk,
                       struct carrier_event *ev)
{
    if (!jscan_base64(payload))
        stream_json_bad(ev, "media: payload is missing or not base64");
    else if (!take_number(timestamp, &ev->timestamp_ms))
        stream_json_bad(ev, "media: timestamp is no number");
    else if (!take_number(chunk, &ev->chunk))
        stream_json_bad(ev, "media: chunk is no number");
    if (ev->kind != CARRIER_AUDIO)
        return;
    ev->audio = payload->at;
    ev->audio_len = payload->len;
}

/* The values are judged when all are there: of a name that comes twice the last one counts, as with any JSON reader. */
void stream_json_media(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value, payload = {0}, timestamp = {0}, chunk = {0}, track = {0};
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "payload"))
            payload = value;
        else if (jscan_is(&key, "timestamp"))
            timestamp = value;
        else if (jscan_is(&key, "chunk"))
            chunk = value;
        else if (jscan_is(&key, "track"))
            track = value;
    }
    ev->kind = CARRIER_AUDIO;
    if (track.at && !jscan_is(&track, "inbound"))
        ev->kind = CARRIER_NOTHING; /* our own voice, should somebody ask for both tracks */
    take_audio(&payload, &timestamp, &chunk, ev);
}

/* The last of that name; at: NULL if there is none. */
static struct jscan_value member_of(const struct jscan_value *object, const char *name)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value, found = {0};
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, name))
            found = value;
    }
    return found;
}

void stream_json_mark(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan_value name = member_of(object, "name");
    bool ours = !name.at || jscan_copy(&name, ev->mark, sizeof ev->mark);
    ev->kind = ours ? CARRIER_PLAYED : CARRIER_NOTHING; /* ours are short */
}

void stream_json_dtmf(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan_value digit = member_of(object, "digit");
    char text[2] = "";
    ev->kind = CARRIER_DTMF;
    if (digit.kind == JSCAN_NUMBER && digit.len == 1)
        text[0] = digit.at[0];
    else if (!jscan_copy(&digit, text, sizeof text))
        text[0] = '\0';
    ev->digit = text[0];
    if (!ev->digit || !strchr("0123456789*#ABCD", ev->digit))
        stream_json_bad(ev, "dtmf: digit is missing");
}

static void take_body(const struct jscan_value *event, const struct stream_body *rows, const struct jscan_value *bodies,
                      struct carrier_event *ev)
{
    for (size_t i = 0; rows[i].event; i++) {
        if (!jscan_is(event, rows[i].event))
            continue;
        if (bodies[i].kind == JSCAN_OBJECT)
            rows[i].take(&bodies[i], ev);
        else
            stream_json_bad(ev, "the event's own object is missing");
        return;
    }
    if (jscan_is(event, "stop"))
        ev->kind = CARRIER_STOP;
}

static void parse_any(const struct stream_body *rows, const char *text, size_t len, struct carrier_event *ev)
{
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value, event = {.kind = JSCAN_NULL};
    struct jscan_value bodies[STREAM_ROWS_MAX] = {{.kind = JSCAN_NULL}};
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "event"))
            event = value;
        for (size_t i = 0; rows[i].event; i++) {
            if (jscan_is(&key, rows[i].member))
                bodies[i] = value;
        }
    }
    if (!jscan_ok(&s))
        stream_json_bad(ev, "not a JSON object");
    else if (event.kind != JSCAN_STRING)
        stream_json_bad(ev, "event is missing");
    else
        take_body(&event, rows, bodies, ev);
}

void stream_json_parse(const struct stream_json *json, const char *text, size_t len, struct carrier_event *ev)
{
    struct jscan_value values[STREAM_VALUES];
    bool audio = jform_take(json->audio, ARRAY_LEN(json->audio), text, len, values);
    *ev = (struct carrier_event){.kind = audio ? CARRIER_AUDIO : CARRIER_NOTHING};
    if (audio)
        take_audio(&values[STREAM_PAYLOAD], &values[STREAM_TIMESTAMP], &values[STREAM_CHUNK], ev);
    else
        parse_any(json->rows, text, len, ev);
}

size_t stream_json_join(char *out, size_t size, const char *head, size_t head_len, const char *base64, size_t len)
{
    static const char tail[] = "\"}}";
    if (head_len + len + sizeof tail > size)
        return 0;
    memcpy(out, head, head_len);
    memcpy(out + head_len, base64, len);
    memcpy(out + head_len + len, tail, sizeof tail - 1);
    return head_len + len + sizeof tail - 1;
}

size_t stream_json_written(int n, size_t size)
{
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}
