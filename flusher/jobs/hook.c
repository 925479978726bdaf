/* Tells a business of its call: a summary, signed, posted to its own address. At least once: the receiver knows by
 * webhook-id what it has had. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/http/client.h"
#include "flusher/jobs/hook_sign.h"
#include "flusher/jobs/job.h"

enum { ANSWER_MS = 15000, NOT_READY_MS = 1000, NOT_READY_MAX_MS = 60000, ANSWER_MAX = 4096, ID_SIZE = 160 };

struct hook {
    struct http_request *request;
};

static void abandon(struct job *job)
{
    struct hook *h = job->work;
    if (!h)
        return;
    http_cancel(h->request);
    job->work = NULL;
    free(h);
}

/* 410 means that nobody wants to be told any more; everything else may be a receiver's mistake that is mended. */
static void on_answer(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct job *job = arg;
    struct hook *h = job->work;
    int64_t rest = http_retry_after_ms(h->request);
    char why[200];
    (void)body;
    (void)len;
    h->request = NULL;
    if (status)
        snprintf(why, sizeof why, "the receiver answered %d", status);
    else
        snprintf(why, sizeof why, "the receiver: %s", error);
    if (status / 100 == 2)
        job_done(job, why);
    else if (status == 410 || error == http_not_public)
        job_dead(job, why);
    else
        job_again(job, rest, why);
}

static void post(struct job *job, const char *url, const struct hook_secret *secret, const char *body)
{
    struct hook *h = job->work;
    const struct flusher_config *config = job->shop->config;
    int64_t now = clock_wall_ms() / 1000;
    char id[ID_SIZE], id_line[ID_SIZE + 16], time_line[48], signature[HOOK_SIGNATURE_SIZE], signature_line[96];
    const struct http_spec spec = {.url = url,
                                   .headers = {"Content-Type: application/json", id_line, time_line, signature_line},
                                   .body = body,
                                   .answer_max = ANSWER_MAX,
                                   .cut = true,
                                   .public_only = !config->after_call_allow_private,
                                   .timeout_ms = ANSWER_MS,
                                   .ca_file = config->job_ca_file};
    snprintf(id, sizeof id, "call_ended_%s", job->call_sid);
    if (!hook_sign(signature, secret, id, now, body)) {
        job_again(job, NOT_READY_MS, "out of memory");
        return;
    }
    snprintf(id_line, sizeof id_line, "webhook-id: %s", id);
    snprintf(time_line, sizeof time_line, "webhook-timestamp: %lld", (long long)now);
    snprintf(signature_line, sizeof signature_line, "webhook-signature: %s", signature);
    h->request = http_send(job->shop->http, &spec, on_answer, job);
    if (!h->request)
        job_again(job, NOT_READY_MS, "the request could not be made");
}

/* One that is old already may take a day. */
static void wait_longer(struct job *job)
{
    int64_t wait = job->age_ms / 60;
    if (wait > NOT_READY_MAX_MS)
        wait = NOT_READY_MAX_MS;
    job_later(job, wait > NOT_READY_MS ? wait : NOT_READY_MS, "the call is not over for the carrier");
}

static void on_summary(struct job *job, PGresult *const *rows)
{
    const struct flusher_config *config = job->shop->config;
    const char *url = job_value(rows[0], "url"), *text = job_value(rows[0], "secret");
    struct hook_secret secret;
    if (PQntuples(rows[0]) != 1) {
        job_again(job, NOT_READY_MS, "after_call_summary.sql has not one row for this call");
        return;
    }
    if (!job_true(rows[0], "ready")) {
        wait_longer(job);
        return;
    }
    if (!*url) { /* the secret belongs to the address */
        url = config->after_call_url;
        text = config->after_call_secret;
    }
    if (!*url)
        job_done(job, "nobody wants to be told");
    else if (!config->after_call_allow_private && strncmp(url, "https://", 8) != 0)
        job_dead(job, "its address does not begin with https://");
    else if (!hook_secret_read(&secret, text))
        job_dead(job, "the secret of its address is missing, or is not whsec_ and the base64 of 24 to 64 bytes");
    else
        post(job, url, &secret, job_value(rows[0], "body"));
}

static bool begin(struct job *job)
{
    struct hook *h = calloc(1, sizeof *h);
    char age[24];
    if (!h)
        return false;
    job->work = h;
    snprintf(age, sizeof age, "%lld", (long long)job->age_ms);
    job_ask(job, &(struct job_query){JOB_SQL_SUMMARY, {job->call_sid, age}}, 1, on_summary);
    return true;
}

const struct job_trade hook_trade = {"hook", 24, begin, abandon};
