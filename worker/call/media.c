#include "worker/call/media.h"

#include <string.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/log.h"

/* A message to the carrier holds at most this much base64 (562 ms), so that a clear never waits
 * behind much; a multiple of 4, so that each piece is base64 of its own. */
enum { PIECE_CHARS = 6000, PIECE_BYTES = PIECE_CHARS / 4 * 3 };

/* Caller audio comes as time passes: twice that, and what a stall may have held back, of the network or of this process. A
 * call stays with a process that sleeps until its lease has lapsed and the grace has passed, 25 s after its last renewal;
 * what came meanwhile is read at once. More is no phone. */
enum { FAST_MS_PER_SECOND = 2000, FAST_BURST_MS = 30000 };

enum {
    FRAME_BYTES_MAX = WORKER_GATHER_BYTES, /* of one carrier message; usual are 160 */
    WORDS_WAIT_MS = 3000,      /* after that, words that were not written down never will be */
    GAP_MIN_MS = 60,           /* later than this is a gap, not jitter */
    GAP_MAX_MS = 10000,        /* silence sent for one gap */
    PAUSE_MS = 750,            /* no frame for so long while the caller speaks */
    PAUSE_FILL_MS = 1000,
};

static bool ai_hears(const struct call *c)
{
    return c->ai && c->state >= CALL_GREETING && !c->machine;
}

static void append(struct call *c, const char *base64, size_t len)
{
    size_t size, n;
    char *room;
    media_flush(c->w);
    if (!c->ai)
        return;
    room = ws_room(c->ai, &size);
    n = c->w->provider->append(room, size, base64, len);
    if (n > 0)
        ws_send_room(c->ai, n);
}

void media_flush(struct worker *w)
{
    struct gathered *g = &w->gathered;
    char text[BASE64_TEXT_SIZE(WORKER_GATHER_BYTES)];
    struct call *c = g->call;
    if (!c)
        return;
    g->call = NULL;
    if (g->text)
        append(c, g->text, g->text_len);
    else
        append(c, text, base64_encode(text, g->bytes, g->len));
    g->len = 0;
}

/* A frame whose audio lies behind what is gathered. Its own text is good until the read is over, or another
 * frame follows. */
static void gather(struct call *c, const struct carrier_event *ev, size_t len)
{
    struct gathered *g = &c->w->gathered;
    bool first = !g->call;
    if (!first)
        metric_add(&c->w->metrics.frames_merged, 1);
    g->call = c;
    g->text = first ? ev->audio : NULL;
    g->text_len = first ? ev->audio_len : 0;
    g->len += len;
}

/* mu-law silence is FF, and three of them are "////": no encoding is needed. */
static void append_silence(struct call *c, int64_t ms)
{
    char slashes[PIECE_CHARS];
    memset(slashes, '/', sizeof slashes);
    metric_add(&c->w->metrics.silence_filled, (uint64_t)ms * PLAYOUT_BYTES_PER_MS);
    for (int64_t bytes = ms * PLAYOUT_BYTES_PER_MS; bytes > 0; bytes -= PIECE_BYTES) {
        int64_t piece = bytes < PIECE_BYTES ? bytes : PIECE_BYTES;
        append(c, slashes, (size_t)((piece + 2) / 3 * 4));
    }
}

static void fill_gap(struct call *c, const struct carrier_event *ev, size_t bytes)
{
    int64_t gap = c->line_next_ms ? (int64_t)(ev->timestamp_ms - c->line_next_ms) : 0;
    if (gap >= GAP_MIN_MS && ai_hears(c))
        append_silence(c, gap < GAP_MAX_MS ? gap : GAP_MAX_MS);
    c->line_next_ms = ev->timestamp_ms + bytes / PLAYOUT_BYTES_PER_MS;
}

bool media_in_time(struct call *c, const struct carrier_event *ev)
{
    int64_t ms = (int64_t)base64_decoded_size(ev->audio, ev->audio_len) / PLAYOUT_BYTES_PER_MS;
    return bucket_take(&c->heard, ms, FAST_MS_PER_SECOND, FAST_BURST_MS, worker_now_ms(c->w));
}

static void keep(struct call *c, const uint8_t *audio, size_t len)
{
    size_t lost = tail_keep(&c->tail, audio, len, c->tail.unheard > 0 || !ai_hears(c));
    if (lost > 0)
        metric_add(&c->w->metrics.early_audio_dropped, lost);
}

void media_from_caller(struct call *c, const struct carrier_event *ev)
{
    struct gathered *g = &c->w->gathered;
    bool hears = ai_hears(c);
    ptrdiff_t n = -1;
    metric_add(&c->w->metrics.frames_in, 1);
    watch_line(&c->watch, worker_now_ms(c->w));
    fill_gap(c, ev, base64_decoded_size(ev->audio, ev->audio_len));
    if (g->len + ev->audio_len / 4 * 3 > WORKER_GATHER_BYTES)
        media_flush(c->w);
    if (ev->audio_len / 4 * 3 <= FRAME_BYTES_MAX)
        n = base64_decode(g->bytes + g->len, ev->audio, ev->audio_len);
    if (n > 0)
        keep(c, g->bytes + g->len, (size_t)n);
    if (hears && n > 0)
        gather(c, ev, (size_t)n);
    else if (hears)
        append(c, ev->audio, ev->audio_len);
}

void media_fill_pause(struct call *c, int64_t now_ms)
{
    if (!c->speaking || !ai_hears(c) || now_ms - c->watch.line_ms < PAUSE_MS)
        return;
    append_silence(c, PAUSE_FILL_MS);
    if (c->line_next_ms)
        c->line_next_ms += PAUSE_FILL_MS; /* the gap, if frames come again, is that much smaller */
}

void media_send_tail(struct call *c)
{
    uint8_t piece[PIECE_BYTES];
    char text[BASE64_TEXT_SIZE(PIECE_BYTES)];
    for (size_t left = c->machine ? 0 : c->tail.unheard, n; left > 0; left -= n) {
        n = tail_copy(&c->tail, left, piece, sizeof piece);
        append(c, text, base64_encode(text, piece, n));
    }
    c->words_ms = clock_mono_ms(); /* until the session has understood, it may be lost as well */
    c->speaking = false;           /* if the caller still is, the new session will say so */
}

void media_send_lead(struct call *c)
{
    tail_unheard_all(&c->tail);
    media_send_tail(c);
}

void media_speaking(struct call *c, bool speaking)
{
    if (!speaking && !c->speaking)
        return;
    c->speaking = speaking;
    c->words_unheard = true;
    c->words_ms = clock_mono_ms();
    if (speaking && c->tail.unheard == 0)
        tail_unheard_all(&c->tail);
}

void media_understood(struct call *c)
{
    if (c->speaking)
        return; /* these were the words before */
    c->tail.unheard = 0;
    c->words_unheard = false;
}

void media_forget_old_words(struct call *c, int64_t now_ms)
{
    if (ai_hears(c) && now_ms - c->words_ms > WORDS_WAIT_MS)
        media_understood(c);
}

void media_end_words(struct call *c)
{
    if (c->speaking)
        append_silence(c, PAUSE_FILL_MS);
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
    if (c->claim.epoch > 1 && c->past_greeting)
        return; /* taken over: where nobody waits for a word, none comes before the caller speaks */
    metric_observe_us(&c->w->metrics.first_audio_seconds, c->first_audio_ms * 1000);
    log_info(c->sid, "greeting first audio", log_int("after_start_ms", c->first_audio_ms));
}

static void send_piece(struct call *c, const char *item, int content_index, const char *base64, size_t len, int64_t now)
{
    size_t size, n;
    char *room = ws_room(c->stream, &size);
    n = c->carrier->audio(room, size, c->stream_sid, base64, len);
    if (n == 0)
        return;
    ws_send_room(c->stream, n);
    metric_add(&c->w->metrics.frames_out, 1);
    playout_sent(&c->playout, item, content_index, base64_decoded_size(base64, len), now);
    send_mark(c, false);
}

/* The last two pieces share what is left, so that none is a scrap that a carrier might refuse. */
static size_t piece_of(size_t rest)
{
    if (rest <= PIECE_CHARS)
        return rest;
    return rest < 2 * PIECE_CHARS ? rest / 8 * 4 : PIECE_CHARS;
}

void media_to_caller(struct call *c, const struct ai_event *ev)
{
    int64_t now = worker_now_ms(c->w);
    if (!c->stream)
        return;
    if (!c->spoke)
        first_audio(c, now);
    for (size_t at = 0, len; at < ev->audio_len; at += len) {
        len = piece_of(ev->audio_len - at);
        send_piece(c, ev->item, ev->content_index, ev->audio + at, len, now);
    }
}

void media_play(struct call *c, const char *item, const uint8_t *mulaw, size_t len)
{
    char text[BASE64_TEXT_SIZE(PIECE_BYTES)];
    int64_t now = clock_mono_ms();
    if (!c->stream)
        return;
    if (!c->spoke)
        first_audio(c, now);
    for (size_t at = 0; at < len; at += PIECE_BYTES) {
        size_t piece = len - at < PIECE_BYTES ? len - at : PIECE_BYTES;
        send_piece(c, item, PLAYOUT_NOT_THE_AIS, text, base64_encode(text, mulaw + at, piece), now);
    }
    media_answer_done(c);
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
