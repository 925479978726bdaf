#include "warmer/elevenlabs/told.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/call_store.h"
#include "warmer/elevenlabs/heard.h"
#include "warmer/outbound/link.h"
#include "warmer/outbound/queue.h"

struct telling {
    struct warmer *w;
    char sid[CALL_SID_SIZE];
    struct report report; /* entries is a reference of our own */
    const char *known;    /* what Postgres knows of the call, as rf_told wants it; "": not asked */
    enum told_result result;
    told_fn *fn;
    void *arg;
};

static void finish(struct telling *t, enum told_result result)
{
    struct warmer *w = t->w;
    metric_add(result == TOLD_KEPT      ? &w->metrics.reports_kept
               : result == TOLD_AGAIN   ? &w->metrics.reports_again
               : result == TOLD_UNKNOWN ? &w->metrics.reports_unknown
                                        : &w->metrics.reports_failed,
               1);
    if (t->fn)
        t->fn(result, t->arg);
    report_release(&t->report);
    free(t);
}

static void on_heard(enum told_result result, void *arg)
{
    struct telling *t = arg;
    finish(t, result == TOLD_FAILED ? TOLD_FAILED : t->result);
}

/* Its report is kept; now what hangs on it. Failing here fails the whole, so that it is all said again. */
static void kept(struct telling *t, enum told_result result)
{
    t->result = result;
    link_call(t->w, t->sid, t->report.provider_sid, t->report.conversation_id);
    if (t->w->outbound)
        queue_over(t->w, t->sid);
    if (t->report.has_audio)
        heard_keep(t->w, t->sid, t->report.conversation_id, on_heard, t);
    else
        finish(t, result);
}

static void look_up(struct telling *t);

/* KEPT | DUPLICATE | UNKNOWN */
static void on_kept(const redisReply *reply, void *arg)
{
    struct telling *t = arg;
    const char *word = redis_word(reply);
    if (strcmp(word, "KEPT") == 0) {
        log_info(t->sid, "conversation reported", log_str("conversation_id", t->report.conversation_id),
                 log_str("status", t->report.status), log_str("reason", t->report.reason), log_str("call", t->known));
        kept(t, TOLD_KEPT);
    } else if (strcmp(word, "DUPLICATE") == 0) {
        kept(t, TOLD_AGAIN);
    } else if (strcmp(word, "UNKNOWN") == 0) {
        look_up(t);
    } else {
        finish(t, TOLD_FAILED);
    }
}

static void keep(struct telling *t)
{
    char *entries = json_dumps(t->report.entries, JSON_COMPACT);
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_told"));
    question_key(&q, t->w, KEY_SESSION, t->sid);
    question_key(&q, t->w, KEY_EVENTS, t->sid);
    question_key(&q, t->w, KEY_LIVE, t->sid);
    question_key(&q, t->w, KEY_ENDED, t->sid);
    question_arg(&q, t->sid);
    question_arg(&q, t->report.conversation_id);
    question_arg(&q, t->report.status);
    question_arg(&q, t->report.duration);
    question_arg(&q, t->report.reason);
    question_arg(&q, entries ? entries : "[]");
    question_arg(&q, t->known);
    if (!entries || ask(t->w, &q, on_kept, t) != 0)
        finish(t, TOLD_FAILED);
    free(entries);
}

/* It has left Redis, or is of another fleet: Postgres knows. */
static void on_found(json_t *rows, void *arg)
{
    struct telling *t = arg;
    const json_t *row = json_array_get(rows, 0);
    const char *spoken = json_string_value(json_object_get(row, "spoken"));
    if (!rows) {
        finish(t, TOLD_FAILED);
    } else if (!row) {
        finish(t, TOLD_UNKNOWN);
    } else {
        t->known = spoken && strcmp(spoken, "true") == 0 ? "spoken" : "known";
        keep(t);
    }
    json_decref(rows);
}

static void look_up(struct telling *t)
{
    if (!t->w->calls || *t->known)
        finish(t, TOLD_UNKNOWN);
    else if (call_store_find(t->w->calls, t->sid, on_found, t) != 0)
        finish(t, TOLD_FAILED);
}

/* A call that we did not dial keeps the carrier's name. */
static void on_alias(const redisReply *reply, void *arg)
{
    struct telling *t = arg;
    const char *fallback = t->report.provider_sid;
    if (!reply) {
        finish(t, TOLD_FAILED);
        return;
    }
    snprintf(t->sid, sizeof t->sid, "%s", reply->type == REDIS_REPLY_STRING && call_sid_valid(reply->str) ? reply->str : fallback);
    if (*t->sid)
        keep(t);
    else
        finish(t, TOLD_UNKNOWN);
}

static void find_sid(struct telling *t)
{
    const struct report *report = &t->report;
    struct question q;
    if (*report->own_sid) {
        strcpy(t->sid, report->own_sid);
        keep(t);
        return;
    }
    question_init_command(&q, "GET");
    question_key_alias(&q, t->w, *report->provider_sid ? report->provider_sid : report->conversation_id);
    if (ask(t->w, &q, on_alias, t) != 0)
        finish(t, TOLD_FAILED);
}

void told_keep(struct warmer *w, const struct report *report, told_fn *fn, void *arg)
{
    struct telling *t = calloc(1, sizeof *t);
    if (!t) {
        metric_add(&w->metrics.reports_failed, 1);
        if (fn)
            fn(TOLD_FAILED, arg);
        return;
    }
    t->w = w;
    t->report = *report;
    json_incref(t->report.entries);
    t->known = "";
    t->fn = fn;
    t->arg = arg;
    find_sid(t);
}
