/* GET /calls/{call_sid}: what became of a call that was asked for (or of one that came; behind the API key).
 *
 *   200 {"call_sid": "..", "state": "..", "status": .., "reason": .., "conversation_id": .., "provider_call_sid": ..,
 *        "direction": .., "duration_seconds": .., "dial_at": .., "source": "redis" | "postgres"}
 *       state: accepted (in the queue; dial_at says when), dialling (of a caller: ringing), in-progress, ended, or
 *       failed, and then reason says why; status is the carrier's own word. What is not known is null
 *   404 there is no such call   503 it cannot be known now: ask again
 *
 * A call that Redis has is answered from there, others by find_call.sql. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/call_store.h"
#include "warmer/outbound/callee.h"
#include "warmer/outbound/queue.h"
#include "warmer/server.h"
#include "warmer/status.h"

struct asked {
    struct request *request;
    json_t *answer;
    bool queued; /* to be dialled, or under way */
    bool tried;  /* a provider was asked to dial it */
};

/* ---- answers ---- */

static void finish(struct asked *a, int code)
{
    struct request *r = a->request;
    char *text = json_dumps(a->answer, JSON_COMPACT);
    json_decref(a->answer);
    free(a);
    request_answer_json(r, text ? code : 503, text ? text : "{}");
    free(text);
}

static void refuse(struct asked *a, int code, const char *error)
{
    json_decref(a->answer);
    a->answer = json_pack("{s:s}", "error", error);
    finish(a, code);
}

static void put(struct asked *a, const char *name, const char *text)
{
    json_object_set_new(a->answer, name, text && *text ? json_string(text) : json_null());
}

static void put_number(struct asked *a, const char *name, const char *text)
{
    json_object_set_new(a->answer, name, text && *text ? json_integer(strtoll(text, NULL, 10)) : json_null());
}

/* over: whoever carried the media has seen its end. talks: somebody is on the line. rings: it is dialled, or rings here. */
static const char *state_of(const char *status, bool over, bool talks, bool rings, bool inbound)
{
    if (status_terminal(status))
        return strcmp(status, "completed") == 0 ? "ended" : "failed";
    if (over)
        return "ended";
    if (talks)
        return "in-progress";
    return !rings ? "accepted" : inbound ? "ringing" : "dialling";
}

/* ---- from Postgres ---- */

static const char *column(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));
    return text ? text : "";
}

/* An attempt is in-progress in its row from the beginning: it is no more than accepted until an id says otherwise. */
static void answer_row(struct asked *a, const json_t *row)
{
    const char *status = column(row, "status"), *direction = column(row, "direction");
    const char *conversation = column(row, "conversation_id"), *provider = column(row, "provider_call_sid");
    bool inbound = strcmp(direction, "inbound") == 0, known = *provider || *conversation;
    bool talks = strcmp(status, "in-progress") == 0 && known;
    put(a, "state", state_of(status, *column(row, "ended_at") != '\0', talks, known, inbound));
    put(a, "status", status);
    put(a, "reason", column(row, "reason"));
    put(a, "conversation_id", conversation);
    put(a, "provider_call_sid", provider);
    put(a, "direction", direction);
    put_number(a, "duration_seconds", column(row, "duration_seconds"));
    put(a, "source", "postgres");
    finish(a, 200);
}

static void on_found(json_t *rows, void *arg)
{
    struct asked *a = arg;
    if (!rows)
        refuse(a, 503, "the database cannot be asked now; ask again");
    else if (json_array_size(rows) == 0)
        refuse(a, 404, "no call has this call_sid");
    else
        answer_row(a, json_array_get(rows, 0));
    json_decref(rows);
}

static void ask_postgres(struct asked *a)
{
    struct warmer *w = a->request->w;
    if (!w->calls)
        refuse(a, 404, "no call has this call_sid in Redis, and nobody is called from here whom Postgres would know");
    else if (call_store_find(w->calls, a->request->call_sid, on_found, a) != 0)
        on_found(NULL, a);
}

/* ---- from Redis ---- */

static void answer_session(struct asked *a, const redisReply *reply)
{
    const char *phase = redis_text(reply, 1), *status = redis_text(reply, 2), *direction = redis_text(reply, 3);
    bool talks = strcmp(phase, "live") == 0 || strcmp(status, "in-progress") == 0 || atoi(redis_text(reply, 8)) > 0;
    put(a, "state", state_of(status, strcmp(phase, "ended") == 0, talks, a->tried || !a->queued,
                             strcmp(direction, "inbound") == 0));
    put(a, "status", status);
    put(a, "direction", direction);
    put(a, "conversation_id", redis_text(reply, 4));
    put(a, "provider_call_sid", redis_text(reply, 5));
    put(a, "reason", redis_text(reply, 6));
    put_number(a, "duration_seconds", redis_text(reply, 7));
    finish(a, 200);
}

/* It waits in the queue, and nobody has seen to it yet. */
static void answer_queued(struct asked *a)
{
    static const char *const unknown[] = {"status", "reason", "conversation_id", "provider_call_sid"};
    put(a, "state", state_of("", false, false, a->tried, false));
    for (size_t i = 0; i < ARRAY_LEN(unknown); i++)
        put(a, unknown[i], NULL);
    put(a, "direction", "outbound");
    put_number(a, "duration_seconds", NULL);
    finish(a, 200);
}

/* UNKNOWN | STATE phase status direction conversation_id provider_call_sid reason duration said */
static void on_state(const redisReply *reply, void *arg)
{
    struct asked *a = arg;
    if (strcmp(redis_word(reply), "STATE") == 0)
        answer_session(a, reply);
    else if (!reply)
        refuse(a, 503, "Redis cannot be asked now; ask again");
    else if (a->queued)
        answer_queued(a);
    else
        ask_postgres(a);
}

static void ask_state(struct asked *a)
{
    struct request *r = a->request;
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_state"));
    question_key(&q, r->w, KEY_CONTEXT, r->call_sid);
    question_key(&q, r->w, KEY_SESSION, r->call_sid);
    question_key(&q, r->w, KEY_EVENTS, r->call_sid);
    if (ask(r->w, &q, on_state, a) != 0)
        on_state(NULL, a);
}

static void take_job(struct asked *a, const redisReply *reply)
{
    int64_t due_ms = strtoll(redis_text(reply, 1), NULL, 10);
    json_t *job = json_loads(redis_text(reply, 2), 0, NULL);
    char at[ISO_TIME_SIZE];
    a->queued = true;
    a->tried = *job_text(job, "asked") != '\0' || due_ms == 0;
    json_decref(job);
    if (a->tried || due_ms <= clock_wall_ms())
        return;
    iso_time(at, due_ms);
    put(a, "dial_at", at);
}

/* NONE | JOB due_ms job */
static void on_job(const redisReply *reply, void *arg)
{
    struct asked *a = arg;
    if (!reply) {
        on_state(NULL, a);
        return;
    }
    if (strcmp(redis_word(reply), "JOB") == 0)
        take_job(a, reply);
    ask_state(a);
}

void call_state_handle(struct request *r)
{
    struct asked *a = calloc(1, sizeof *a);
    struct question q;
    if (!a || !(a->answer = json_pack("{s:s, s:s, s:n}", "call_sid", r->call_sid, "source", "redis", "dial_at"))) {
        free(a);
        request_answer_status(r, 503);
        return;
    }
    a->request = r;
    question_init(&q, REDIS_FUNCTION("rf_job"));
    question_key_outbound(&q, r->w, "queue", NULL);
    question_key_outbound(&q, r->w, "jobs", NULL);
    question_arg(&q, r->call_sid);
    if (ask(r->w, &q, on_job, a) != 0)
        on_job(NULL, a);
}
