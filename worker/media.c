#include "worker/media.h"

#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/log.h"

/* A message to the carrier holds at most this much base64 (562 ms), so that a clear never waits
 * behind much; a multiple of 4, so that each piece is base64 of its own. */
enum { PIECE_CHARS = 6000, EARLY_CHUNK = 6000 };

static void keep_early(struct call *c, const struct carrier_event *ev)
{
    uint8_t audio[2048];
    ptrdiff_t n = -1;
    size_t over;
    if (ev->audio_len / 4 * 3 <= sizeof audio)
        n = base64_decode(audio, ev->audio, ev->audio_len);
    if (n < 0)
        return;
    if (!c->early)
        c->early = evbuffer_new();
    if (!c->early || evbuffer_add(c->early, audio, (size_t)n) != 0)
        return;
    if (evbuffer_get_length(c->early) > EARLY_AUDIO_MAX) {
        over = evbuffer_get_length(c->early) - EARLY_AUDIO_MAX;
        evbuffer_drain(c->early, over);
        metric_add(&c->w->metrics.early_audio_dropped, over);
    }
}

static void append(struct call *c, const char *base64, size_t len)
{
    size_t size;
    char *room = ws_room(c->ai, &size);
    size_t n = c->w->provider->append(room, size, base64, len);
    if (n > 0)
        ws_send_room(c->ai, n);
}

void media_from_caller(struct call *c, const struct carrier_event *ev)
{
    metric_add(&c->w->metrics.frames_in, 1);
    if (c->state == CALL_CLAIMING || c->state == CALL_DIALLING)
        keep_early(c, ev);
    else if (c->ai)
        append(c, ev->audio, ev->audio_len);
}

void media_send_early(struct call *c)
{
    uint8_t audio[EARLY_CHUNK];
    char text[BASE64_TEXT_SIZE(EARLY_CHUNK)];
    int n;
    if (!c->early)
        return;
    while ((n = evbuffer_remove(c->early, audio, sizeof audio)) > 0)
        append(c, text, base64_encode(text, audio, (size_t)n));
    evbuffer_free(c->early);
    c->early = NULL;
}

static void send_mark(struct call *c, bool at_end)
{
    char name[PLAYOUT_MARK_SIZE];
    size_t size, n;
    char *room;
    if (!c->stream || !playout_wants_mark(&c->playout, at_end, name))
        return;
    room = ws_room(c->stream, &size);
    n = c->carrier->mark(room, size, c->stream_sid, name);
    if (n > 0)
        ws_send_room(c->stream, n);
}

static void first_audio(struct call *c, int64_t now)
{
    c->spoke = true;
    c->first_audio_ms = now - c->started_ms;
    metric_observe_us(&c->w->metrics.first_audio_seconds, c->first_audio_ms * 1000);
    log_info(c->sid, "greeting first audio", log_int("after_start_ms", c->first_audio_ms));
}

void media_to_caller(struct call *c, const struct ai_event *ev)
{
    int64_t now = clock_mono_ms();
    if (!c->stream)
        return;
    if (!c->spoke)
        first_audio(c, now);
    for (size_t at = 0; at < ev->audio_len; at += PIECE_CHARS) {
        size_t len = ev->audio_len - at < PIECE_CHARS ? ev->audio_len - at : PIECE_CHARS, size;
        char *room = ws_room(c->stream, &size);
        size_t n = c->carrier->audio(room, size, c->stream_sid, ev->audio + at, len);
        if (n == 0 || !c->stream)
            return;
        ws_send_room(c->stream, n);
        metric_add(&c->w->metrics.frames_out, 1);
        playout_sent(&c->playout, ev->item, ev->response, ev->content_index, base64_decoded_size(ev->audio + at, len),
                     now);
        send_mark(c, false);
    }
}

void media_answer_done(struct call *c)
{
    playout_complete(&c->playout);
    send_mark(c, true);
}

void media_clear(struct call *c)
{
    size_t size, n;
    char *room;
    playout_clear(&c->playout);
    if (!c->stream)
        return;
    room = ws_room(c->stream, &size);
    n = c->carrier->clear(room, size, c->stream_sid);
    if (n > 0)
        ws_send_room(c->stream, n);
}
