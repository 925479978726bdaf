/* Has a recording written down, if its call has no transcript: each side of it by itself, in pieces. A piece that was
 * answered is kept with the job before the next one is sent, since it has been paid for. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "common/base/log.h"
#include "flusher/jobs/audio.h"
#include "flusher/jobs/fetch.h"
#include "flusher/jobs/job.h"
#include "flusher/jobs/store.h"
#include "flusher/jobs/transcript_answer.h"

enum {
    ANSWER_MAX = 4 << 20,
    ANSWER_MS = 600000,       /* nothing comes before all of it is written down */
    FETCH_MS = 3600000,
    STALL_SECONDS = 30,
    PIECE_MIN_SECONDS = 5,    /* who refuses this as too long refuses everything */
};

struct transcript {
    struct fetch *fetch;          /* of the recording, where it is in a bucket */
    struct http_request *request;
    int fd;
    char partial[STORE_PATH_SIZE], language[8];
    struct audio audio;
    struct audio_piece piece;
    struct http_source source;
    int64_t piece_seconds;
    json_t *pieces;               /* [{"channel", "from", "to" (frames), "text"}, ...] */
};

static void abandon(struct job *job)
{
    struct transcript *t = job->work;
    if (!t)
        return;
    http_cancel(t->request);
    fetch_free(t->fetch);
    if (t->fd >= 0)
        close(t->fd);
    if (*t->partial)
        fetch_forget(t->partial);
    json_decref(t->pieces);
    job->work = NULL;
    free(t);
}

static void next_piece(struct job *job);

/* -- the end ----------------------------------------------------------------------------------------- */

static void on_stored(struct job *job, PGresult *const *rows)
{
    (void)rows;
    job_done(job, "written down");
}

static void store(struct job *job)
{
    struct transcript *t = job->work;
    json_t *turns = transcript_turns(t->pieces, t->audio.wav.channels, t->audio.wav.rate,
                                     strcmp(job->shop->config->recording_channels, "caller-first") == 0);
    char *text = turns ? json_dumps(turns, JSON_COMPACT) : NULL;
    const struct job_query query = {JOB_SQL_TRANSCRIPT,
                                    {job->call_sid, job->subject, job->shop->config->transcription_model, text}};
    if (text)
        job_ask(job, &query, 1, on_stored);
    else
        job_again(job, 0, "out of memory");
    free(text);
    json_decref(turns);
}

/* -- a piece ----------------------------------------------------------------------------------------- */

static bool note_piece(struct transcript *t, const char *text)
{
    return json_array_append_new(t->pieces, json_pack("{s:i, s:I, s:I, s:s}", "channel", t->piece.channel, "from",
                                                      (json_int_t)t->piece.from, "to", (json_int_t)t->piece.to, "text",
                                                      text)) == 0;
}

static void on_kept(struct job *job, PGresult *const *rows)
{
    (void)rows;
    next_piece(job);
}

static void keep(struct job *job, const char *text)
{
    struct transcript *t = job->work;
    char *progress = note_piece(t, text) ? json_dumps(t->pieces, JSON_COMPACT) : NULL;
    if (progress)
        job_keep(job, progress, on_kept);
    else
        job_again(job, 0, "out of memory");
    free(progress);
}

static void halve(struct job *job, const char *why)
{
    struct transcript *t = job->work;
    int64_t seconds = audio_ms(&t->audio, t->piece.to - t->piece.from) / 1000;
    t->piece_seconds = seconds / 2;
    if (t->piece_seconds < PIECE_MIN_SECONDS) {
        job_dead(job, why);
        return;
    }
    log_info(job->call_sid, "a piece of a recording was too long", log_str("recording", job->subject),
             log_int("seconds", seconds), log_str("why", why));
    next_piece(job);
}

static void on_answer(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct job *job = arg;
    struct transcript *t = job->work;
    struct transcript_answer answer;
    int64_t rest = http_retry_after_ms(t->request);
    t->request = NULL;
    if (error) {
        job_again(job, 0, error);
        return;
    }
    transcript_answer_read(&answer, status, body, len);
    switch (answer.verdict) {
    case TRANSCRIPT_TEXT:
        keep(job, answer.text);
        break;
    case TRANSCRIPT_TOO_LONG:
        halve(job, answer.text);
        break;
    case TRANSCRIPT_REFUSED:
        job_dead(job, answer.text);
        break;
    case TRANSCRIPT_MISCONFIGURED:
        job_strike(job, answer.text);
        break;
    case TRANSCRIPT_LATER:
        job_again(job, rest, answer.text);
        break;
    }
    transcript_answer_release(&answer);
}

static void send_piece(struct job *job)
{
    struct transcript *t = job->work;
    const struct flusher_config *config = job->shop->config;
    char key[600];
    struct http_spec spec = {
        .url = config->transcription_url,
        .headers = {"Expect:", *config->transcription_key ? key : NULL},
        .answer_max = ANSWER_MAX,
        .once = true, /* it is paid for as often as it arrives */
        .timeout_ms = ANSWER_MS,
        .ca_file = config->job_ca_file,
        .source = &t->source,
        .parts = {{.name = "model", .text = config->transcription_model},
                  {.name = "response_format", .text = "json"},
                  {.name = "file", .filename = "recording.wav", .type = "audio/wav"},
                  {.name = *t->language ? "language" : NULL, .text = t->language}},
    };
    snprintf(key, sizeof key, "Authorization: Bearer %s", config->transcription_key);
    t->source = audio_source(&t->piece);
    metric_add(&job->shop->metrics->pieces, 1);
    t->request = http_send(job->shop->http, &spec, on_answer, job);
    if (!t->request)
        job_again(job, 0, "the request for a transcription could not be made");
}

/* How far a channel is written down. */
static int64_t frontier(const struct transcript *t, int channel)
{
    int64_t to = 0;
    size_t i;
    json_t *piece;
    json_array_foreach(t->pieces, i, piece) {
        int64_t end = json_integer_value(json_object_get(piece, "to"));
        if (json_integer_value(json_object_get(piece, "channel")) == channel && end > to)
            to = end;
    }
    return to;
}

static void next_piece(struct job *job)
{
    struct transcript *t = job->work;
    for (int channel = 0; channel < t->audio.wav.channels;) {
        int64_t from = frontier(t, channel);
        if (from >= t->audio.frames) {
            channel++;
            continue;
        }
        audio_cut(&t->audio, channel, from, audio_frames(&t->audio, t->piece_seconds * 1000), &t->piece);
        if (audio_speaks(&t->piece)) {
            send_piece(job);
            return;
        }
        if (!note_piece(t, "")) {
            job_again(job, 0, "out of memory");
            return;
        }
    }
    store(job);
}

/* -- the recording ----------------------------------------------------------------------------------- */

/* Takes the descriptor. */
static void start(struct job *job, int fd)
{
    struct transcript *t = job->work;
    char why[AUDIO_WHY_SIZE];
    t->fd = fd;
    t->pieces = *job->progress ? json_loads(job->progress, 0, NULL) : NULL;
    if (!json_is_array(t->pieces)) {
        json_decref(t->pieces);
        t->pieces = json_array();
    }
    if (!audio_open(&t->audio, fd, why))
        job_dead(job, why);
    else
        next_piece(job);
}

static void on_fetched(void *arg, const struct fetched *file)
{
    struct job *job = arg;
    int fd = file->error ? -1 : dup(file->fd);
    if (fd >= 0)
        start(job, fd);
    else
        job_again(job, 0, file->error ? file->error : strerror(errno));
}

static void fetch(struct job *job, const char *location)
{
    struct transcript *t = job->work;
    struct store_request request;
    const char *why = NULL;
    struct http_spec spec = {
        .timeout_ms = FETCH_MS, .stall_seconds = STALL_SECONDS, .ca_file = job->shop->config->job_ca_file};
    if (!store_request(job->shop->store, location, NULL, &request, &spec)) {
        job_dead(job, "its recording is in another store than RINGFLEET_RECORDING_STORE");
        return;
    }
    store_partial(t->partial, job->shop->store, job->subject, ".transcript.wav");
    t->fetch = fetch_begin(job->shop->http, &spec, t->partial, on_fetched, job, &why);
    if (!t->fetch) {
        *t->partial = '\0'; /* it may be another's */
        job_again(job, 0, why);
    }
}

static void open_recording(struct job *job, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        start(job, fd);
    else
        job_again(job, 0, strerror(errno));
}

static void on_known(struct job *job, PGresult *const *rows)
{
    struct transcript *t = job->work;
    const char *location = job_value(rows[1], "result");
    snprintf(t->language, sizeof t->language, "%s", job_value(rows[0], "language"));
    if (!job_true(rows[0], "wanted"))
        job_done(job, "not needed: the call has a transcript");
    else if (!*location)
        job_again(job, 0, "its recording is not in the store");
    else if (*location == '/')
        open_recording(job, location);
    else
        fetch(job, location);
}

static bool begin(struct job *job)
{
    struct transcript *t = calloc(1, sizeof *t);
    const struct job_query queries[] = {{JOB_SQL_WANTED, {job->call_sid, job->subject}},
                                        {JOB_SQL_RESULT, {recording_trade.name, job->subject}}};
    if (!t)
        return false;
    t->fd = -1;
    t->piece_seconds = job->shop->config->transcription_piece_seconds;
    job->work = t;
    job_ask(job, queries, ARRAY_LEN(queries), on_known);
    return true;
}

const struct job_trade transcript_trade = {"transcript", 4, begin, abandon};
