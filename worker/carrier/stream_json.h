/* What the JSON media streams of Twilio and of the carriers that took after it have in common: an
 * `event`, and beside it an object of its own with the event's fields. */
#pragma once
#include "worker/carrier/carrier.h"
#include "worker/jform.h"

enum { STREAM_ROWS_MAX = 8 };

struct stream_body {
    const char *event;
    const char *member; /* the event's own object */
    void (*take)(const struct jscan_value *object, struct carrier_event *ev);
};

/* The values of a caller's audio message, in the order in which the carriers write them. */
enum { STREAM_SEQUENCE, STREAM_CHUNK, STREAM_TIMESTAMP, STREAM_PAYLOAD, STREAM_ID, STREAM_VALUES };

/* A carrier's language: the form its audio usually has, and what its events mean; others mean nothing. */
struct stream_json {
    struct jform_text audio[STREAM_VALUES + 1];
    struct stream_body rows[STREAM_ROWS_MAX]; /* ended by one without an event */
};

/* Reads a message and lets the row of its event take the object. */
void stream_json_parse(const struct stream_json *json, const char *text, size_t len, struct carrier_event *ev);

/* Rows that are the same for all. */
void stream_json_media(const struct jscan_value *object, struct carrier_event *ev);
void stream_json_mark(const struct jscan_value *object, struct carrier_event *ev);
void stream_json_dtmf(const struct jscan_value *object, struct carrier_event *ev);

void stream_json_bad(struct carrier_event *ev, const char *error);

/* Writes head, base64 and tail (the per-frame path); the length, or 0 if they do not fit. */
size_t stream_json_join(char *out, size_t size, const char *head, size_t head_len, const char *base64, size_t len);

/* What snprintf returned, as a carrier's writers return it. */
size_t stream_json_written(int n, size_t size);
