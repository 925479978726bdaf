/* POST /voice/outbound/{call_sid}: somebody, or a machine, has picked up a call that we dialled. Everything is in
 * Redis already; what the carrier knows now is added, and the call gets its first stream. It may come before the
 * API has answered that it dialled: then this is how we learn of it. It is the call's fallback, too, which is asked
 * when any document could not be had: then the call goes on where it broke. */
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/after.h"
#include "warmer/ask.h"
#include "warmer/fallback.h"
#include "warmer/outbound/dialled.h"
#include "warmer/outbound/link.h"
#include "warmer/outbound/queue.h"
#include "warmer/status.h"

enum { LOOK_AFTER_MS = 300000, ANSWERED_BY_MAX = 40 };

static void on_filled(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.events_failed, 1);
}

/* Workers leave a message to a machine. */
static void begin_fill(struct question *q, const struct request *r, const char *who)
{
    question_init(q, REDIS_FUNCTION("rf_fill"));
    question_key(q, r->w, KEY_CONTEXT, r->call_sid);
    question_arg(q, "answered_by");
    question_arg(q, who);
}

static void keep_answered_by(struct request *r, const char *who)
{
    struct question q;
    if (!*who)
        return;
    begin_fill(&q, r, who);
    if (ask(r->w, &q, on_filled, r->w) != 0)
        on_filled(NULL, r->w);
}

static void on_judged(const redisReply *reply, void *arg)
{
    struct request *r = arg;
    on_filled(reply, r->w);
    request_answer_status(r, reply ? 204 : 503); /* the carrier comes again */
}

void machine_handle(struct request *r)
{
    const char *who = form_get(&r->form, "AnsweredBy");
    struct question q;
    if (strlen(who) > ANSWERED_BY_MAX || strspn(who, "abcdefghijklmnopqrstuvwxyz_") != strlen(who) || !*who) {
        request_refuse(r, "no usable AnsweredBy");
        return;
    }
    log_info(r->call_sid, "the carrier says who has picked up", log_str("by", who),
             log_str("after_ms", form_get(&r->form, "MachineDetectionDuration")));
    begin_fill(&q, r, who);
    if (ask(r->w, &q, on_judged, r) != 0)
        on_judged(NULL, r);
}

static void heard_of(struct request *r)
{
    const char *provider_call_sid = form_get(&r->form, "CallSid");
    link_call(r->w, r->call_sid, provider_call_sid, "");
    if (r->w->outbound)
        queue_settle(r->w, r->call_sid, provider_call_sid, "", LOOK_AFTER_MS);
}

void answered_handle(struct request *r)
{
    const char *who = form_get(&r->form, "AnsweredBy");
    r->n = *form_get(&r->form, "ErrorUrl") ? fallback_stream(r) : -1;
    if (r->n < 0)
        log_info(r->call_sid, "call answered", log_str("by", *who ? who : "unknown"),
                 log_str("provider_call_sid", form_get(&r->form, "CallSid")));
    heard_of(r);
    keep_answered_by(r, who);
    after_handle(r);
}

void dialled_status_handle(struct request *r)
{
    heard_of(r);
    if (status_terminal(form_get(&r->form, "CallStatus")) && r->w->outbound)
        queue_over(r->w, r->call_sid);
    status_handle(r);
}
