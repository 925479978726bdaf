/* Fetches a recording from the carrier and puts it into the store. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/jobs/audio.h"
#include "flusher/jobs/fetch.h"
#include "flusher/jobs/job.h"
#include "flusher/jobs/store.h"

enum {
    STALL_SECONDS = 30,
    WHOLE_MS = 3600000,      /* the longest a file may take on its way, in or out */
    NOT_READY_MS = 1000,     /* the carrier tells of recordings before they can be had */
};

struct recording {
    struct job *job;
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
    char wait[24];
    const struct job_query queries[] = {
        {JOB_SQL_STORED, {job->subject, job->call_sid, r->location, r->bytes, r->sha256}},
        {JOB_SQL_FOLLOW, {transcript_trade.name, job->subject, job->call_sid, wait}},
    };
    snprintf(wait, sizeof wait, "%lld", (long long)job->shop->config->transcription_wait_seconds * 1000);
    fetch_forget(r->partial);
    job_ask(job, queries, jobs_want_transcripts(job->shop->config) ? 2 : 1, on_written);
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
    if (store_request(job->shop->store, r->location, r->sha256, &request, &spec)) {
        spec.headers[1] = "Content-Type: audio/wav";
        r->request = http_send(job->shop->http, &spec, on_uploaded, job);
    }
    if (!r->request)
        job_again(job, 0, "the request to the bucket could not be made");
}

/* -- from the carrier -------------------------------------------------------------------------------- */

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
    int status = file->error && file->status / 100 == 2 ? 0 : file->status;
    if (file->ours)
        job_again(job, 0, file->error);
    else if (status == 401 || status == 403)
        job_strike(job, "the carrier refuses RINGFLEET_TWILIO_ACCOUNT_SID and its token");
    else if (status == 404)
        job_again(job, NOT_READY_MS, "the carrier does not have it, or not yet (404)");
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

/* Of a comma list the first: the warmer's setting of that name may hold several. */
static void first_token(char *out, size_t size, const char *tokens)
{
    snprintf(out, size, "%.*s", (int)strcspn(tokens, ","), tokens);
}

static bool url_of(char out[STORE_URL_SIZE], const char *source)
{
    size_t len = strlen(source);
    bool named = len > 4 && strcmp(source + len - 4, ".wav") == 0;
    return (size_t)snprintf(out, STORE_URL_SIZE, "%s%s", source, named ? "" : ".wav") < STORE_URL_SIZE;
}

static void fetch(struct job *job)
{
    struct recording *r = job->work;
    const struct flusher_config *config = job->shop->config;
    char url[STORE_URL_SIZE], token[512];
    const char *why = "its URL is too long";
    struct http_spec spec = {.url = url,
                             .user = *config->twilio_account_sid ? config->twilio_account_sid : NULL,
                             .password = token,
                             .follow = true,
                             .timeout_ms = WHOLE_MS,
                             .stall_seconds = STALL_SECONDS,
                             .ca_file = config->job_ca_file};
    first_token(token, sizeof token, config->twilio_auth_token);
    if (url_of(url, job->source))
        r->fetch = fetch_begin(job->shop->http, &spec, r->partial, on_fetched, job, &why);
    if (!r->fetch)
        job_again(job, 0, why);
}

/* Our credentials go to the carrier only, whatever a journal says. */
static bool is_carriers(const struct job *job)
{
    const char *base = job->shop->config->twilio_api_url;
    size_t len = strlen(base);
    return strncmp(job->source, base, len) == 0 && (job->source[len] == '/' || (len > 0 && base[len - 1] == '/'));
}

static bool begin(struct job *job)
{
    struct recording *r = calloc(1, sizeof *r);
    if (!r)
        return false;
    r->job = job;
    job->work = r;
    store_name(r->name, job->day, job->call_sid, job->subject);
    store_location(r->location, job->shop->store, r->name);
    store_partial(r->partial, job->shop->store, job->subject, ".wav");
    if (is_carriers(job))
        fetch(job);
    else
        job_dead(job, "its address does not begin with RINGFLEET_TWILIO_API_URL");
    return true;
}

const struct job_trade recording_trade = {"recording", 8, begin, abandon};
