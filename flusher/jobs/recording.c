/* Fetches a recording from who has it (source.h) and puts it into the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/jobs/audio.h"
#include "flusher/jobs/fetch.h"
#include "flusher/jobs/job.h"
#include "flusher/jobs/source.h"
#include "flusher/jobs/store.h"

enum {
    STALL_SECONDS = 30,
    WHOLE_MS = 3600000,      /* the longest a file may take on its way, in or out */
    NOT_READY_MS = 1000,     /* they are told of before they can be had */
};

struct recording {
    struct job *job;
    const struct source *source;
    struct fetch *fetch;
    struct http_request *request; /* to the bucket */
    int fd;
    char name[STORE_PATH_SIZE / 4], partial[STORE_PATH_SIZE], location[STORE_PATH_SIZE];
    char bytes[24], sha256[SHA256_HEX_SIZE];
};

static void abandon(struct job *job)
{
    struct recording *r = job->work;
    if (!r)
        return;
    http_cancel(r->request);
    fetch_free(r->fetch);
    job->work = NULL;
    free(r);
}

/* -- it is stored ------------------------------------------------------------------------------------ */

static void on_written(struct job *job, PGresult *const *rows)
{
    struct recording *r = job->work;
    (void)rows;
    job_done(job, r->location);
}

/* The user's row first: if we die in between, the job is done again, and says the same. */
static void tell(struct job *job)
{
    struct recording *r = job->work;
    bool follows = r->source->can_be_cut && jobs_want_transcripts(job->shop->config);
    char wait[24];
    const struct job_query queries[] = {
        {JOB_SQL_STORED, {job->subject, job->call_sid, r->location, r->bytes, r->sha256}},
        {JOB_SQL_FOLLOW, {transcript_trade.name, job->subject, job->call_sid, wait}},
    };
    snprintf(wait, sizeof wait, "%lld", (long long)job->shop->config->transcription_wait_seconds * 1000);
    fetch_forget(r->partial);
    job_ask(job, queries, follows ? 2 : 1, on_written);
}

/* -- to the bucket ----------------------------------------------------------------------------------- */

static void on_uploaded(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct job *job = arg;
    struct recording *r = job->work;
    char why[200];
    (void)body;
    (void)len;
    r->request = NULL;
    snprintf(why, sizeof why, error ? "the bucket: %s" : "the bucket answered %s%d", error ? error : "", status);
    if (status / 100 == 2)
        tell(job);
    else if (status == 401 || status == 403 || status == 404)
        job_strike(job, why);
    else
        job_again(job, 0, why);
}

static void upload(struct job *job, int64_t bytes)
{
    struct recording *r = job->work;
    const struct http_source file = store_file(&r->fd, bytes);
    struct store_request request;
    struct http_spec spec = {.answer_max = 4096,
                             .cut = true,
                             .timeout_ms = WHOLE_MS,
                             .stall_seconds = STALL_SECONDS,
                             .ca_file = job->shop->config->job_ca_file,
                             .source = &file};
    char type[64];
    if (store_request(job->shop->store, r->location, r->sha256, &request, &spec)) {
        snprintf(type, sizeof type, "Content-Type: %s", r->source->content_type);
        spec.headers[1] = type;
        r->request = http_send(job->shop->http, &spec, on_uploaded, job);
    }
    if (!r->request)
        job_again(job, 0, "the request to the bucket could not be made");
}

/* -- from who has it --------------------------------------------------------------------------------- */

static void keep(struct job *job, const struct fetched *file)
{
    struct recording *r = job->work;
    const char *why;
    r->fd = file->fd;
    snprintf(r->bytes, sizeof r->bytes, "%lld", (long long)file->bytes);
    memcpy(r->sha256, file->sha256, sizeof r->sha256);
    if (job->shop->store->is_bucket) {
        upload(job, file->bytes);
        return;
    }
    why = store_move(job->shop->store, file->fd, r->partial, r->location);
    if (why)
        job_again(job, 0, why);
    else
        tell(job);
}

static void not_fetched(struct job *job, const struct fetched *file)
{
    const struct recording *r = job->work;
    int status = file->error && file->status / 100 == 2 ? 0 : file->status;
    if (file->ours)
        job_again(job, 0, file->error);
    else if (status == 401 || status == 403)
        job_strike(job, r->source->refused);
    else if (status == 404)
        job_again(job, NOT_READY_MS, "it is not there, or not yet (404)");
    else if (status / 100 == 4 && status != 408 && status != 416 && status != 425 && status != 429)
        job_dead(job, file->error);
    else
        job_again(job, file->retry_after_ms, file->error);
}

static void on_fetched(void *arg, const struct fetched *file)
{
    struct job *job = arg;
    struct recording *r = job->work;
    struct jobs_metrics *metrics = job->shop->metrics;
    char why[AUDIO_WHY_SIZE];
    metric_add(&metrics->bytes, (uint64_t)file->new_bytes);
    metric_add(&metrics->resumed, file->resumed);
    if (file->error) {
        not_fetched(job, file);
    } else if (!audio_whole(file->fd, file->bytes, why)) {
        fetch_forget(r->partial);
        job_again(job, NOT_READY_MS, why);
    } else {
        keep(job, file);
    }
}

static void fetch(struct job *job)
{
    struct recording *r = job->work;
    const char *why = "its URL is too long";
    struct source_request request;
    struct http_spec spec = {.timeout_ms = WHOLE_MS, .stall_seconds = STALL_SECONDS, .ca_file = job->shop->config->job_ca_file};
    if (source_request(r->source, job->shop->config, job->source, &request, &spec))
        r->fetch = fetch_begin(job->shop->http, &spec, r->partial, on_fetched, job, &why);
    if (!r->fetch)
        job_again(job, 0, why);
}

static bool begin(struct job *job)
{
    struct recording *r = calloc(1, sizeof *r);
    if (!r)
        return false;
    r->job = job;
    job->work = r;
    r->source = source_of(job->shop->config, job->source);
    if (!r->source) {
        job_dead(job, "its address begins neither with RINGFLEET_TWILIO_API_URL nor with RINGFLEET_ELEVENLABS_URL (with a key)");
        return true;
    }
    store_name(r->name, job->day, job->call_sid, job->subject, r->source->extension);
    store_location(r->location, job->shop->store, r->name);
    store_partial(r->partial, job->shop->store, job->subject, r->source->extension);
    fetch(job);
    return true;
}

const struct job_trade recording_trade = {"recording", 8, begin, abandon};
