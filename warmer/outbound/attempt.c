#include "warmer/outbound/attempt_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/outbound/hours.h"
#include "warmer/outbound/link.h"
#include "warmer/warm.h"

enum {
    TRIES_MAX = 5,
    RETRY_MS = 1000,         /* doubled with each try */
    DATABASE_RETRY_MS = 5000,
    PROVIDER_TIMEOUT_MS = 15000,
    PROVIDER_ANSWER_MAX = 4 * 1024 * 1024, /* a conversation with all that was said */
    LEASE_EXTRA_MS = 90000,  /* a machine is listened to after the ringing, and the carrier is slow */
    CARRIED_MS = 3600000,    /* a call whose media we do not see is taken to be over */
    GIVE_UP_MS = 3600000,    /* counted from the next calling hours */
};

struct attempts {
    struct warmer *w;
    struct attempt *first;
    size_t count;
};

void attempt_finish(struct attempt *a)
{
    *a->link = a->next;
    if (a->next)
        a->next->link = a->link;
    a->all->count--;
    http_cancel(a->http);
    context_release(&a->context);
    json_decref(a->job);
    free(a);
}

/* ---- how it ends ---- */

void attempt_fail(struct attempt *a, const char *reason)
{
    metric_add(&a->w->metrics.dial_failed, 1);
    log_warn(a->sid, "call not dialled", log_str("why", reason), log_phone("to", job_text(a->job, "to_number")),
             log_str("business_id", job_text(a->job, "business_id")));
    link_status(a->w, a->sid, "failed", "", reason);
    queue_over(a->w, a->sid);
    attempt_finish(a);
}

void attempt_dialled(struct attempt *a, const char *provider_call_sid, const char *conversation_id)
{
    metric_add(&a->w->metrics.dial_done, 1);
    log_info(a->sid, "call dialled", log_str("carrier", a->provider->name), log_str("provider_call_sid", provider_call_sid),
             log_str("conversation_id", conversation_id), log_phone("to", job_text(a->job, "to_number")),
             log_str("business_id", job_text(a->job, "business_id")));
    link_call(a->w, a->sid, provider_call_sid, conversation_id);
    queue_settle(a->w, a->sid, provider_call_sid, conversation_id, LOOK_AFTER_MS);
    attempt_finish(a);
}

bool attempt_too_late(const struct attempt *a, int64_t delay_ms)
{
    return clock_wall_ms() + delay_ms > job_number(a->job, "give_up_ms");
}

/* Nobody was dialled: from the beginning again, later. */
void attempt_retry(struct attempt *a, int64_t delay_ms, bool counts, const char *why)
{
    int64_t tries = job_number(a->job, "tries") + counts;
    json_t *changes = json_pack("{s:n, s:n}", "asked", "looks");
    if (tries > TRIES_MAX || attempt_too_late(a, delay_ms)) {
        json_decref(changes);
        attempt_fail(a, why);
        return;
    }
    metric_add(&a->w->metrics.dial_retried, 1);
    log_info(a->sid, "call put back", log_str("why", why), log_int("delay_ms", delay_ms), log_int("tries", tries));
    job_set_number(changes, "tries", tries);
    queue_back(a->w, a->sid, delay_ms, changes, false);
    attempt_finish(a);
}

static void retry_later(struct attempt *a, const char *why)
{
    int64_t tries = job_number(a->job, "tries");
    int64_t delay = (int64_t)RETRY_MS << (tries < TRIES_MAX ? tries : TRIES_MAX);
    attempt_retry(a, delay + random_below((uint32_t)delay / 2 + 1), true, why);
}

/* It may have been dialled: look, later. Its place stays taken. */
void attempt_look_later(struct attempt *a, int64_t delay_ms, int64_t looks, const char *why)
{
    json_t *changes = json_object();
    metric_add(&a->w->metrics.dial_unsure, 1);
    log_warn(a->sid, "call may have been dialled", log_str("why", why), log_int("look_in_ms", delay_ms));
    job_set_number(changes, "looks", looks);
    queue_back(a->w, a->sid, delay_ms, changes, true);
    attempt_finish(a);
}

/* ---- asking the provider ---- */

bool attempt_send(struct attempt *a, struct provider_request *request, bool once, http_done_fn *fn)
{
    const struct http_spec spec = {.url = request->url, .headers = {request->headers[0], *request->headers[1] ? request->headers[1] : NULL},
                                   .body = request->body, .answer_max = PROVIDER_ANSWER_MAX, .once = once,
                                   .timeout_ms = PROVIDER_TIMEOUT_MS, .ca_file = a->w->config.api_ca_file};
    a->http = http_send(a->w->http, &spec, fn, a);
    provider_request_release(request);
    return a->http != NULL;
}

static void on_dialled(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct attempt *a = arg;
    bool sent = http_was_sent(a->http);
    struct provider_answer answer;
    (void)len;
    a->http = NULL;
    if (error && !sent) {
        retry_later(a, error);
        return;
    }
    if (error) {
        attempt_look_later(a, UNSURE_MS, 0, error);
        return;
    }
    a->provider->dialled(&answer, status, body);
    switch (answer.verdict) {
    case PROVIDER_DIALLED:
        attempt_dialled(a, answer.call_sid, answer.conversation_id);
        break;
    case PROVIDER_REFUSED:
        attempt_fail(a, answer.reason);
        break;
    case PROVIDER_BUSY:
        retry_later(a, answer.reason);
        break;
    case PROVIDER_UNSURE:
        attempt_look_later(a, UNSURE_MS, 0, answer.reason);
        break;
    }
}

static void dial(struct attempt *a)
{
    struct provider_request request;
    const char *why;
    if (!a->provider->dial(&request, &a->w->config, a->sid, a->job, &a->context, &why)) {
        provider_request_release(&request);
        attempt_fail(a, why);
    } else if (!attempt_send(a, &request, true, on_dialled)) {
        attempt_retry(a, RETRY_MS, false, "too many requests are under way");
    }
}

/* ---- its context ---- */

/* DIALLING | ANSWERED */
static void on_open(const redisReply *reply, void *arg)
{
    struct attempt *a = arg;
    const char *word = redis_word(reply);
    if (strcmp(word, "DIALLING") == 0) {
        dial(a);
    } else if (strcmp(word, "ANSWERED") == 0) {
        queue_over(a->w, a->sid);
        attempt_finish(a);
    } else {
        attempt_retry(a, RETRY_MS, false, "redis did not answer");
    }
}

static int64_t lease_ms(const struct attempt *a)
{
    if (a->provider->carries_media)
        return CARRIED_MS;
    return a->w->config.ring_seconds * 1000 + LEASE_EXTRA_MS + warmer_lease_ms(a->w);
}

static void open_call(struct attempt *a)
{
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_dial"));
    question_key(&q, a->w, KEY_CONTEXT, a->sid);
    question_key(&q, a->w, KEY_SESSION, a->sid);
    question_key(&q, a->w, KEY_LIVE, a->sid);
    question_arg(&q, a->sid);
    question_number(&q, a->w->config.context_ttl_seconds);
    question_number(&q, lease_ms(a));
    for (size_t i = 0; i < a->context.count; i++) {
        question_arg(&q, a->context.fields[i].name);
        question_arg(&q, a->context.fields[i].value);
    }
    if (ask(a->w, &q, on_open, a) != 0)
        attempt_retry(a, RETRY_MS, false, "redis is away");
}

/* An answer from memory is no reason to call somebody: the database is waited for. */
static void on_warmed(const struct warmed *warmed, void *arg)
{
    struct attempt *a = arg;
    const char *agent = job_text(a->job, "agent_id");
    if (warmed->more)
        return;
    if (warmed->source == WARM_UNKNOWN) {
        attempt_fail(a, "no business has this number to call from");
        return;
    }
    if (warmed->source != WARM_DATABASE) {
        attempt_retry(a, DATABASE_RETRY_MS, false, "the database is away");
        return;
    }
    context_move(&a->context, warmed->context);
    if (*agent && context_set(&a->context, "ai_agent_id", agent) != 0)
        log_error(a->sid, "no room in the context", log_str("field", "ai_agent_id"));
    if (a->provider->judges_late && a->provider->judges_late(&a->w->config, a->job) &&
        context_set(&a->context, "answered_by", "pending") != 0)
        log_error(a->sid, "no room in the context", log_str("field", "answered_by"));
    open_call(a);
}

/* When the calling hours let us, in ms from now. */
static int64_t hours_wait_ms(const struct attempt *a)
{
    const char *hours = job_text(a->job, "calling_hours");
    int64_t now = clock_wall_ms() / 1000;
    int64_t next = hours_next(*hours ? hours : a->w->config.calling_hours, job_zone(a->job), now);
    return next < 0 ? -1 : (next - now) * 1000;
}

static void wait_for_hours(struct attempt *a, int64_t wait_ms)
{
    json_t *changes = json_pack("{s:n}", "asked");
    job_set_number(changes, "give_up_ms", clock_wall_ms() + wait_ms + GIVE_UP_MS);
    log_info(a->sid, "call waits for the calling hours", log_int("delay_ms", wait_ms));
    queue_back(a->w, a->sid, wait_ms, changes, false);
    attempt_finish(a);
}

static void begin(struct attempt *a)
{
    const struct warm_call call = {
        .load = {a->sid, job_text(a->job, "from_number"), job_text(a->job, "to_number"), "outbound", .open = false},
        .channel = CONTEXT_VOICE,
        .answered_by = "",
    };
    int64_t wait_ms = hours_wait_ms(a);
    if (wait_ms < 0)
        attempt_fail(a, "calling_hours or the time zone of the business are not understood");
    else if (wait_ms > 0)
        wait_for_hours(a, wait_ms);
    else if (attempt_too_late(a, 0))
        attempt_fail(a, "it has become too late to call");
    else if (warm(a->w, &call, on_warmed, a) != 0)
        attempt_retry(a, RETRY_MS, false, "out of memory");
}

/* ---- life ---- */

static struct attempt *attempt_new(struct attempts *all, const char *sid, json_t *job)
{
    struct attempt *a = calloc(1, sizeof *a);
    if (!a) {
        json_decref(job);
        return NULL; /* its lease runs out */
    }
    a->all = all;
    a->w = all->w;
    a->job = job;
    a->provider = provider_named(job_text(job, "carrier"));
    snprintf(a->sid, sizeof a->sid, "%s", sid);
    a->next = all->first;
    if (a->next)
        a->next->link = &a->next;
    a->link = &all->first;
    all->first = a;
    all->count++;
    return a;
}

void attempt_dial(struct attempts *all, const char *sid, json_t *job)
{
    struct attempt *a = attempt_new(all, sid, job);
    if (!a)
        return;
    if (!a->provider || !a->provider->configured(&a->w->config))
        attempt_fail(a, "this carrier is not set up here any more");
    else if (*job_text(job, "asked"))
        attempt_look(a);
    else
        begin(a);
}

void attempt_look_after(struct attempts *all, const char *sid, json_t *job)
{
    struct attempt *a = attempt_new(all, sid, job);
    if (a)
        attempt_watch(a);
}

struct attempts *attempts_new(struct warmer *w)
{
    struct attempts *all = calloc(1, sizeof *all);
    if (all)
        all->w = w;
    return all;
}

void attempts_free(struct attempts *all)
{
    if (!all)
        return;
    while (all->first)
        attempt_finish(all->first);
    free(all);
}

size_t attempts_count(const struct attempts *all)
{
    return all->count;
}
