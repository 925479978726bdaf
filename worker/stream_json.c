#include "worker/stream_json.h"

#include <string.h>

enum { ROWS_MAX = 8 };

void stream_json_bad(struct carrier_event *ev, const char *error)
{
    ev->kind = CARRIER_BAD;
    ev->error = error;
}

void stream_json_media(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_AUDIO;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "payload") && jscan_base64(&value)) {
            ev->audio = value.at;
            ev->audio_len = value.len;
        } else if (jscan_is(&key, "timestamp") && !jscan_uint(&value, &ev->timestamp_ms)) {
            stream_json_bad(ev, "media: timestamp is no number");
        } else if (jscan_is(&key, "chunk") && !jscan_uint(&value, &ev->chunk)) {
            stream_json_bad(ev, "media: chunk is no number");
        } else if (jscan_is(&key, "track") && !jscan_is(&value, "inbound")) {
            ev->kind = CARRIER_NOTHING; /* our own voice, should somebody ask for both tracks */
        }
    }
    if (!ev->audio)
        stream_json_bad(ev, "media: payload is missing or not base64");
}

void stream_json_mark(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_PLAYED;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "name") && !jscan_copy(&value, ev->mark, sizeof ev->mark))
            ev->kind = CARRIER_NOTHING; /* not one of ours: ours are short */
    }
}

void stream_json_dtmf(const struct jscan_value *object, struct carrier_event *ev)
{
    struct jscan s = jscan_open(object->at, object->len);
    struct jscan_value key, value;
    ev->kind = CARRIER_DTMF;
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "digit") && value.len == 1)
            ev->digit = value.at[0];
    }
    if (!ev->digit || !strchr("0123456789*#", ev->digit))
        stream_json_bad(ev, "dtmf: digit is missing");
}

static void take_body(const struct jscan_value *event, const struct stream_body *rows, size_t count,
                      const struct jscan_value *bodies, struct carrier_event *ev)
{
    for (size_t i = 0; i < count; i++) {
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

void stream_json_parse(const char *text, size_t len, const struct stream_body *rows, size_t count,
                       struct carrier_event *ev)
{
    struct jscan s = jscan_open(text, len);
    struct jscan_value key, value, event = {.kind = JSCAN_NULL};
    struct jscan_value bodies[ROWS_MAX] = {{.kind = JSCAN_NULL}};
    *ev = (struct carrier_event){.kind = CARRIER_NOTHING};
    while (jscan_member(&s, &key, &value)) {
        if (jscan_is(&key, "event"))
            event = value;
        for (size_t i = 0; i < count; i++) {
            if (jscan_is(&key, rows[i].member))
                bodies[i] = value;
        }
    }
    if (!jscan_ok(&s))
        stream_json_bad(ev, "not a JSON object");
    else if (event.kind != JSCAN_STRING)
        stream_json_bad(ev, "event is missing");
    else
        take_body(&event, rows, count, bodies, ev);
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
