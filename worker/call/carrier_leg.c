#include "worker/call/carrier_leg.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/base64.h"
#include "common/base/log.h"
#include "worker/call/call_close.h"
#include "worker/call/media.h"

enum {
    PAIRED_MS_MAX = 20,  /* of audio in a frame; larger ones are rare enough as they are */
    WAIT_STEP = 64,      /* frames grow with the digits of their counters: not every byte is told to the kernel */
    PAIR_LATE_MS = 100,  /* what a second frame is waited for */
};

static void on_event(struct call *c, const struct carrier_event *ev)
{
    call_on(c, &(struct call_event){.kind = CALL_EV_CARRIER, .carrier = ev});
}

/* Audio of a carrier that does not keep the order: a piece may have to wait, or let others go. */
static void on_unordered_audio(struct call *c, const struct carrier_event *ev)
{
    struct reorder_piece *piece;
    enum reorder_verdict verdict;
    if (!c->reorder)
        c->reorder = calloc(1, sizeof *c->reorder);
    if (!c->reorder) {
        on_event(c, ev);
        return;
    }
    verdict = reorder_take(c->reorder, ev->chunk, ev->timestamp_ms, ev->audio, ev->audio_len);
    if (verdict == REORDER_NOW)
        on_event(c, ev);
    else
        metric_add(verdict == REORDER_KEPT ? &c->w->metrics.frames_reordered : &c->w->metrics.frames_dropped, 1);
    while (c->state != CALL_GONE && (piece = reorder_next(c->reorder)) != NULL)
        on_event(c, &(struct carrier_event){.kind = CARRIER_AUDIO, .chunk = piece->chunk, .timestamp_ms = piece->timestamp_ms,
                                            .audio = piece->audio, .audio_len = piece->len});
}

/* A loop that has no time left is told of a carrier's audio when there are two frames of it: half the reads, and
 * half of all that follows from them. Whatever else the carrier says waits for the second one as well. Of calls that
 * begin with it every other one does so a frame later, or all would come in the same 20 ms and none in the next. */
static void take_pairs(struct call *c, size_t frame_len, size_t audio_ms)
{
    bool pairs = c->w->pressed && c->state >= CALL_GREETING && audio_ms <= PAIRED_MS_MAX;
    bool later = pairs && !c->paired && c->w->pairing++ % 2 == 1;
    size_t more_than_one = frame_len * 3 / 2;
    c->paired = pairs;
    ws_wait_for(c->stream, pairs && !later ? more_than_one + WAIT_STEP - more_than_one % WAIT_STEP : 0);
}

static void on_text(struct ws_conn *ws, char *text, size_t len, void *arg)
{
    struct call *c = arg;
    struct carrier_event ev;
    (void)ws;
    PREFETCH(c->ai);
    c->carrier->parse(text, len, &ev);
    if (ev.kind == CARRIER_AUDIO && ev.chunk != 0 && !c->carrier->keeps_order)
        on_unordered_audio(c, &ev);
    else
        on_event(c, &ev);
    if (ev.kind == CARRIER_AUDIO)
        take_pairs(c, len, base64_decoded_size(ev.audio, ev.audio_len) / PLAYOUT_BYTES_PER_MS);
}

static void on_read(struct ws_conn *ws, void *arg)
{
    struct call *c = arg;
    (void)ws;
    media_flush(c->w);
}

static void on_open(struct ws_conn *ws, void *arg)
{
    (void)ws;
    (void)arg; /* the state ACCEPTED began with the request */
}

static void on_closed(struct ws_conn *ws, uint16_t code, const char *why, void *arg)
{
    struct call *c = arg;
    char detail[192];
    media_flush(c->w); /* this was the end of the read */
    c->stream = NULL;
    snprintf(detail, sizeof detail, "%u %s", (unsigned)code, why);
    call_on(c, &(struct call_event){.kind = CALL_EV_CARRIER_LOST, .why = detail, .fault = ws_fault(ws)});
}

static const struct ws_handler events = {NULL, on_open, on_text, on_closed, on_read};

void carrier_leg_open(struct call *c, struct ws_conn *ws)
{
    c->stream = ws;
    ws_set_handler(ws, &events, c);
}

void carrier_leg_close(struct call *c)
{
    const struct call_reason_row *reason = call_reason(c->reason);
    struct ws_conn *stream = c->stream;
    media_flush(c->w); /* of a stream that we close nobody tells when its read is over */
    c->stream = NULL;
    ws_close(stream, reason->close_code, reason->name);
    if (!stream || c->carrier->ends_call_on_close)
        return;
    metric_add(&c->w->metrics.calls_left_up, 1);
    log_warn(c->sid, "the carrier keeps the call up: it ends through the carrier's API",
             log_str("carrier", c->carrier->name), log_str("verdict", reason->verdict));
}

void carrier_leg_look(struct call *c, int64_t now_ms)
{
    if (now_ms - c->watch.line_ms > PAIR_LATE_MS)
        ws_wait_for(c->stream, 0);
}

/* Where one message is refused, hundreds may be: the first is logged, all are counted. */
void carrier_leg_refused(struct call *c, const struct carrier_event *ev)
{
    metric_add(&c->w->metrics.carrier_refused, 1);
    if (c->refusals++ == 0)
        log_warn(c->sid, "the carrier refused a message", log_int("code", (int64_t)ev->code));
}

enum call_reason carrier_leg_lost_reason(enum peer_fault fault)
{
    switch (fault) {
    case FAULT_NONE:
    case FAULT_HTTP:
    case FAULT_TIMEOUT:
        return REASON_CARRIER_LOST;
    case FAULT_PROTOCOL:
    case FAULT_UNSUPPORTED:
    case FAULT_BAD_UTF8:
    case FAULT_TOO_BIG:
        return REASON_CARRIER_PROTOCOL;
    case FAULT_FLOOD:
        return REASON_CARRIER_FLOOD;
    case FAULT_SLOW:
        return REASON_CARRIER_SLOW;
    case PEER_FAULT_COUNT:
        break;
    }
    return REASON_CARRIER_LOST;
}
