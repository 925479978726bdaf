/* POST /calls: people are to be called.
 *
 *   Authorization: Bearer <RINGFLEET_API_KEY>
 *   Idempotency-Key: <of your own making, new for each thing you want>
 *   {"business": 1, "callees": [{"driver_id": "d7", "to": "+14155550123", "purpose": "..", "context": {..}}, ..],
 *    "agent": "..", "schedule_at": "2026-11-27T09:00:00Z", "outside_hours": "wait"}
 *
 *   202 {"calls": [{"call_sid": "EL_d7_..", "driver_id": "d7", "status": "queued"}, ..]}, one for each callee, in order:
 *       status queued; scheduled, with dial_at; refused, with error; unavailable (the same request again does it)
 *   400 {"error": ".."}   409 the key is in use for another request, or this one is being worked on
 *   422 as 202, all are refused   503 as 202, some are unavailable
 *
 * The same key and body again get the first answer. Were that lost, the work is done again under the same
 * call_sids: each call is recorded and queued once, whatever has become of it since. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "common/base/foreign_json.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/call_store.h"
#include "warmer/outbound/callee.h"
#include "warmer/outbound/hours.h"
#include "warmer/outbound/link.h"
#include "warmer/outbound/outbound.h"
#include "warmer/outbound/provider.h"
#include "warmer/outbound/queue.h"
#include "warmer/server.h"
#include "warmer/wrong.h"

enum {
    KEY_MAX = 255,
    WINDOW = 8, /* callees of a request that are worked on at once */
    LOCK_MS = 60000,
    GIVE_UP_MS = 3600000, /* a call that is so late is not made */
};

struct batch {
    struct request *request;
    struct warmer *w;
    json_t *body, *results;
    json_t *queued; /* by an earlier request with this key: call_sid to due_ms, as a text */
    struct call_request asked;
    int64_t stamp_ns;
    size_t next, under_way, done;
    size_t accepted, unavailable;
    char key[SHA256_HEX_SIZE], digest[SHA256_HEX_SIZE];
};

/* One callee. */
struct part {
    struct batch *batch;
    size_t index;
    struct callee callee;
    char call_sid[CALL_SID_SIZE];
    int64_t due_ms; /* 0: now */
};

static void work(struct batch *b);

/* ---- answers ---- */

static void answer_error(struct request *r, int code, const char *error)
{
    json_t *document = json_pack("{s:s}", "error", error);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    json_decref(document);
    request_answer_json(r, text ? code : 503, text ? text : "{}");
    free(text);
}

static void batch_free(struct batch *b)
{
    json_decref(b->queued);
    json_decref(b->results);
    json_decref(b->body);
    free(b);
}

static void refuse(struct batch *b, int code, const char *error)
{
    struct request *r = b->request;
    batch_free(b);
    if (code == 400)
        metric_add(&r->w->metrics.malformed, 1);
    answer_error(r, code, error);
}

static void on_remembered(const redisReply *reply, void *arg)
{
    (void)reply; /* not kept: the request would be done again under the same call_sids */
    (void)arg;
}

static void remember(struct batch *b, int code, const char *answer)
{
    char number[8];
    struct question q;
    snprintf(number, sizeof number, "%d", code);
    question_init(&q, REDIS_FUNCTION("rf_once_done"));
    question_key_outbound(&q, b->w, "key", b->key);
    question_arg(&q, b->digest);
    question_arg(&q, number);
    question_arg(&q, answer);
    (void)!ask(b->w, &q, on_remembered, NULL);
}

static void answer(struct batch *b)
{
    json_t *document = json_pack("{s:O}", "calls", b->results);
    char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
    int code = !text || b->unavailable ? 503 : b->accepted ? 202 : 422;
    json_decref(document);
    remember(b, code, code == 503 ? "" : text);
    log_info(NULL, "calls asked for", log_int("callees", (int64_t)b->done), log_int("accepted", (int64_t)b->accepted),
             log_int("unavailable", (int64_t)b->unavailable), log_str("business", b->asked.business));
    request_answer_json(b->request, code, text ? text : "{}");
    free(text);
    if (b->w->outbound)
        outbound_kick(b->w->outbound);
    batch_free(b);
}

/* ---- one callee ---- */

static void part_done(struct part *p, const char *status, const char *error)
{
    struct batch *b = p->batch;
    json_t *result = json_pack("{s:s*, s:s*, s:s*, s:s, s:s*}", "call_sid", *p->call_sid ? p->call_sid : NULL, "driver_id", p->callee.driver_id,
                               "lead_id", p->callee.lead_id, "status", status, "error", error);
    char at[ISO_TIME_SIZE];
    if (p->due_ms > 0 && strcmp(status, "scheduled") == 0) {
        iso_time(at, p->due_ms);
        json_object_set_new(result, "dial_at", json_string(at));
    }
    json_array_set_new(b->results, p->index, result);
    callee_release(&p->callee);
    free(p);
    b->done++;
    b->under_way--;
}

static void part_over(struct part *p, const char *status, const char *error)
{
    struct batch *b = p->batch;
    part_done(p, status, error);
    work(b);
}

static void unavailable(struct part *p, const char *error)
{
    p->batch->unavailable++;
    part_over(p, "unavailable", error);
}

/* Its row is there already: it says so, too. */
static void refuse_recorded(struct part *p, const char *error)
{
    metric_add(&p->batch->w->metrics.calls_refused_outbound, 1);
    link_status(p->batch->w, p->call_sid, "failed", "", error);
    part_over(p, "refused", error);
}

static const char *word_of_queued(const struct part *p)
{
    return p->due_ms > clock_wall_ms() ? "scheduled" : "queued";
}

/* QUEUED | EXISTS */
static void on_queued(const redisReply *reply, void *arg)
{
    struct part *p = arg;
    const char *word = redis_word(reply);
    if (strcmp(word, "QUEUED") != 0 && strcmp(word, "EXISTS") != 0) {
        unavailable(p, "Redis did not take it; send the same request again");
        return;
    }
    metric_add(&p->batch->w->metrics.calls_queued, 1);
    p->batch->accepted++;
    part_over(p, word_of_queued(p), NULL);
}

/* When it may be dialled. NULL, or why never. */
static const char *find_time(struct part *p, const json_t *row)
{
    const struct batch *b = p->batch;
    const char *hours = job_text(row, "calling_hours");
    int64_t at = (b->asked.schedule_ms ? b->asked.schedule_ms : clock_wall_ms()) / 1000;
    int64_t next = hours_next(*hours ? hours : b->w->config.calling_hours, job_zone(row), at);
    if (next < 0)
        return "calling_hours or the time zone of the business are not understood";
    if (next > at && b->asked.refuse_outside_hours)
        return "outside the calling hours (on the callee's clock, where it is known); leave outside_hours out to have it wait";
    p->due_ms = next > at ? next * 1000 : b->asked.schedule_ms;
    return NULL;
}

static const char *check_row(const struct batch *b, const json_t *row)
{
    const struct provider *provider = provider_named(job_text(row, "carrier"));
    if (!*job_text(row, "business_id"))
        return "the database gave no business_id (open_outbound_call.sql), by which places are counted";
    if (!provider)
        return "the business' carrier is none that is known (twilio, elevenlabs)";
    if (!provider->configured(&b->w->config))
        return "the business' carrier is not set up here";
    return provider->missing ? provider->missing(row) : NULL;
}

/* Of its business at once. What is no number of calls is said in the log: the setting was meant to do something. */
static int64_t places(const struct part *p, const json_t *row)
{
    const char *text = job_text(row, "max_calls");
    char *end;
    int64_t number = strtoll(text, &end, 10);
    if (*text && !*end && number > 0)
        return number;
    if (*text)
        log_warn(p->call_sid, "max_calls of the business is no number of calls", log_str("value", text),
                 log_str("business_id", job_text(row, "business_id")),
                 log_int("taken_instead", p->batch->w->config.max_business_calls));
    return p->batch->w->config.max_business_calls;
}

static void complete(struct part *p, json_t *row)
{
    job_set_number(row, "max_calls", places(p, row));
    job_set_number(row, "give_up_ms", (p->due_ms ? p->due_ms : clock_wall_ms()) + GIVE_UP_MS);
}

static void enqueue(struct part *p, json_t *row)
{
    char *job;
    complete(p, row);
    job = json_dumps(row, JSON_COMPACT);
    if (!job || queue_add(p->batch->w, p->batch->key, p->call_sid, p->due_ms, job, on_queued, p) != 0)
        on_queued(NULL, p);
    free(job);
}

static void on_opened(json_t *rows, void *arg)
{
    struct part *p = arg;
    json_t *row = json_array_get(rows, 0);
    const char *refused = job_text(row, "refused"), *wrong;
    if (!row) {
        json_decref(rows);
        unavailable(p, "the database did not take it; send the same request again");
        return;
    }
    if (*refused) {
        metric_add(&p->batch->w->metrics.calls_refused_outbound, 1);
        part_over(p, "refused", refused);
    } else if ((wrong = check_row(p->batch, row)) || (wrong = find_time(p, row))) {
        refuse_recorded(p, wrong);
    } else {
        enqueue(p, row);
    }
    json_decref(rows);
}

/* Whether an earlier request has queued it. Neither the database nor the calling hours are asked again. */
static bool known_queued(struct part *p)
{
    struct batch *b = p->batch;
    if (!json_object_get(b->queued, p->call_sid))
        return false;
    p->due_ms = job_number(b->queued, p->call_sid);
    b->accepted++;
    part_done(p, word_of_queued(p), NULL);
    return true;
}

/* Returns whether it waits for the database. */
static bool part_begin(struct batch *b, size_t index)
{
    struct part *p = calloc(1, sizeof *p);
    const char *wrong;
    char schedule[24];
    b->under_way++;
    if (!p) {
        json_array_set_new(b->results, index, json_pack("{s:s, s:s}", "status", "unavailable", "error", "out of memory"));
        b->under_way--;
        b->done++;
        b->unavailable++;
        return false;
    }
    p->batch = b;
    p->index = index;
    wrong = callee_read(&p->callee, json_array_get(b->asked.callees, index));
    callee_call_sid(p->call_sid, &p->callee, b->stamp_ns + (int64_t)index * 1000);
    snprintf(schedule, sizeof schedule, "%lld", (long long)b->asked.schedule_ms);
    if (wrong) {
        metric_add(&b->w->metrics.calls_refused_outbound, 1);
        p->call_sid[0] = '\0'; /* no attempt was made of it */
        part_done(p, "refused", wrong);
        return false;
    }
    if (known_queued(p))
        return false;
    if (call_store_open(b->w->calls,
                        &(struct call_opening){p->call_sid, b->asked.business, b->asked.agent, p->callee.driver_id,
                                               p->callee.lead_id, p->callee.to, p->callee.purpose, p->callee.context,
                                               b->asked.schedule_ms ? schedule : NULL},
                        on_opened, p) == 0)
        return true;
    b->unavailable++;
    part_done(p, "unavailable", "the database is away; send the same request again");
    return false;
}

static void work(struct batch *b)
{
    size_t count = json_array_size(b->asked.callees);
    while (b->next < count && b->under_way < WINDOW)
        part_begin(b, b->next++);
    if (b->done == count)
        answer(b);
}

/* ---- the request ---- */

/* Microseconds that no other request of this process has, and as many behind it as there are callees; the
 * three digits below tell processes apart. */
static int64_t new_stamp(size_t count)
{
    static int64_t last_us;
    int64_t us = clock_wall_ms() * 1000 + clock_mono_us() % 1000;
    if (us <= last_us)
        us = last_us + 1;
    last_us = us + (int64_t)count;
    return us * 1000 + random_below(1000);
}

static void take_queued(struct batch *b, const redisReply *reply)
{
    for (size_t i = 2; i + 1 < reply->elements; i += 2)
        json_object_set_new(b->queued, redis_text(reply, i), json_string(redis_text(reply, i + 1)));
}

/* NEW stamp | AGAIN stamp, then call_sid due_ms of each that is queued | NONE | BUSY | DONE code answer | OTHER */
static void on_once(const redisReply *reply, void *arg)
{
    struct batch *b = arg;
    const char *word = redis_word(reply);
    if (strcmp(word, "NEW") == 0 || strcmp(word, "AGAIN") == 0) {
        b->stamp_ns = strtoll(redis_text(reply, 1), NULL, 10);
        take_queued(b, reply);
        work(b);
    } else if (strcmp(word, "DONE") == 0) {
        struct request *r = b->request;
        batch_free(b);
        request_answer_json(r, atoi(redis_text(reply, 1)), redis_text(reply, 2));
    } else if (strcmp(word, "NONE") == 0) {
        refuse(b, 400, "schedule_at is past; leave it out to call now");
    } else if (strcmp(word, "BUSY") == 0) {
        refuse(b, 409, "this request is being worked on; ask again for its answer");
    } else if (strcmp(word, "OTHER") == 0) {
        refuse(b, 409, "this Idempotency-Key came with another request; make a new one for each thing you want");
    } else {
        refuse(b, 503, "Redis cannot be asked now; send the same request again");
    }
}

static bool ask_once(struct batch *b)
{
    char stamp[24];
    struct question q;
    snprintf(stamp, sizeof stamp, "%lld", (long long)new_stamp(json_array_size(b->asked.callees)));
    question_init(&q, REDIS_FUNCTION("rf_once"));
    question_key_outbound(&q, b->w, "key", b->key);
    question_arg(&q, b->digest);
    question_number(&q, LOCK_MS);
    question_number(&q, QUEUE_REMEMBER_SECONDS);
    question_arg(&q, b->asked.past ? "" : stamp);
    return ask(b->w, &q, on_once, b) == 0;
}

static const char *begin(struct batch *b, const char *key)
{
    const char *text, *wrong;
    size_t len;
    if (!*key || strlen(key) > KEY_MAX)
        return "send a header Idempotency-Key of 1 to 255 bytes: whoever asks again with it calls nobody twice";
    text = request_body(b->request, &len);
    if (!text)
        return NO_MEMORY;
    b->body = foreign_json(text, len, JSON_REJECT_DUPLICATES);
    wrong = call_request_read(&b->asked, b->body, clock_wall_ms());
    if (wrong)
        return wrong;
    if (!sha256_hex(b->key, key, strlen(key)) || !sha256_hex(b->digest, text, len))
        return NO_MEMORY;
    for (size_t i = 0; i < json_array_size(b->asked.callees); i++)
        json_array_append_new(b->results, json_null());
    return NULL;
}

void calls_handle(struct request *r)
{
    struct batch *b;
    const char *wrong;
    if (!r->w->outbound) {
        answer_error(r, 503, "nobody can be called here: set RINGFLEET_TWILIO_ACCOUNT_SID or RINGFLEET_ELEVENLABS_API_KEY");
        return;
    }
    b = calloc(1, sizeof *b);
    if (!b || !(b->results = json_array()) || !(b->queued = json_object())) {
        if (b)
            batch_free(b);
        request_refuse(r, NO_MEMORY);
        return;
    }
    b->request = r;
    b->w = r->w;
    wrong = begin(b, request_header(r, "Idempotency-Key"));
    if (wrong)
        refuse(b, wrong_status(wrong), wrong);
    else if (!ask_once(b))
        on_once(NULL, b);
}
