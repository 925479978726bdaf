#include "warmer/outbound/queue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/local_time.h"

const char *job_text(const json_t *job, const char *name)
{
    const char *text = json_string_value(json_object_get(job, name));
    return text ? text : "";
}

int64_t job_number(const json_t *job, const char *name)
{
    return strtoll(job_text(job, name), NULL, 10);
}

const char *job_zone(const json_t *job)
{
    const char *callees = job_text(job, "callee_timezone"), *business = job_text(job, "business_timezone");
    if (*callees && local_time_zone(callees))
        return callees;
    return *business ? business : "UTC";
}

void job_set_number(json_t *job, const char *name, int64_t number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    json_object_set_new(job, name, json_string(text));
}

static void begin(struct question *q, struct warmer *w, const char *function, const char *const *kinds, size_t count)
{
    question_init(q, function);
    for (size_t i = 0; i < count; i++)
        question_key_outbound(q, w, kinds[i], NULL);
}

static const char *const kinds[] = {"queue", "jobs", "active", "busy", "rate"};

int queue_add(struct warmer *w, const char *key, const char *sid, int64_t due_ms, const char *job, ask_fn *fn, void *arg)
{
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_enqueue"), kinds, 2);
    question_key_outbound(&q, w, "key", key);
    question_arg(&q, sid);
    question_number(&q, due_ms);
    question_arg(&q, job);
    question_number(&q, QUEUE_REMEMBER_SECONDS);
    return ask(w, &q, fn, arg);
}

int queue_take(struct warmer *w, ask_fn *fn, void *arg)
{
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_take"), kinds, 5);
    question_number(&q, QUEUE_LEASE_MS);
    question_number(&q, 1000 / w->config.calls_per_second);
    return ask(w, &q, fn, arg);
}

static void on_told(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.queue_failed, 1);
}

static void tell(struct warmer *w, const struct question *q)
{
    if (ask(w, q, on_told, w) != 0)
        on_told(NULL, w);
}

void queue_back(struct warmer *w, const char *sid, int64_t delay_ms, json_t *changes, bool keep_place)
{
    char *text = changes ? json_dumps(changes, JSON_COMPACT) : NULL;
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_back"), kinds, 4);
    question_arg(&q, sid);
    question_number(&q, delay_ms);
    question_arg(&q, text ? text : "{}");
    question_arg(&q, keep_place ? "1" : "0");
    tell(w, &q);
    free(text);
    json_decref(changes);
}

void queue_settle(struct warmer *w, const char *sid, const char *provider_call_sid, const char *conversation_id,
                  int64_t look_ms)
{
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_settle"), kinds, 3);
    question_arg(&q, sid);
    question_arg(&q, provider_call_sid);
    question_arg(&q, conversation_id);
    question_number(&q, look_ms);
    tell(w, &q);
}

void queue_over(struct warmer *w, const char *sid)
{
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_over"), kinds, 4);
    question_arg(&q, sid);
    tell(w, &q);
}

void queue_watch(struct warmer *w, const char *sid, int64_t look_ms, const char *job)
{
    static const char *const watched[] = {"jobs", "active"};
    struct question q;
    begin(&q, w, REDIS_FUNCTION("rf_watch"), watched, 2);
    question_arg(&q, sid);
    question_number(&q, look_ms);
    question_arg(&q, job);
    tell(w, &q);
}
