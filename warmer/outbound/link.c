#include "warmer/outbound/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/outbound/queue.h"
#include "warmer/status.h"

static void on_kept(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.events_failed, 1);
}

static void tell(struct warmer *w, const struct question *q)
{
    if (ask(w, q, on_kept, w) != 0)
        on_kept(NULL, w);
}

static void keep_alias(struct warmer *w, const char *id, const char *call_sid)
{
    struct question q;
    if (!call_sid_valid(id))
        return;
    question_init_command(&q, "SET");
    question_key_alias(&q, w, id);
    question_arg(&q, call_sid);
    question_arg(&q, "EX");
    question_number(&q, w->config.context_ttl_seconds);
    tell(w, &q);
}

static void begin_event(struct question *q, struct warmer *w, const char *function, const char *call_sid)
{
    question_init(q, function);
    question_key(q, w, KEY_SESSION, call_sid);
    question_key(q, w, KEY_EVENTS, call_sid);
    question_key(q, w, KEY_LIVE, call_sid);
    question_key(q, w, KEY_ENDED, call_sid);
    question_arg(q, call_sid);
}

void link_call(struct warmer *w, const char *call_sid, const char *provider_call_sid, const char *conversation_id)
{
    struct question q;
    keep_alias(w, provider_call_sid, call_sid);
    keep_alias(w, conversation_id, call_sid);
    begin_event(&q, w, REDIS_FUNCTION("rf_link"), call_sid);
    question_arg(&q, provider_call_sid);
    question_arg(&q, conversation_id);
    tell(w, &q);
}

void link_status(struct warmer *w, const char *call_sid, const char *status, const char *duration, const char *reason)
{
    const struct journal_type_row *type = &journal_types[JOURNAL_CALL_STATUS];
    const char *const values[] = {status, duration, "", reason};
    char id[64];
    struct question q;
    snprintf(id, sizeof id, "status:ours:%.40s", status);
    begin_event(&q, w, REDIS_FUNCTION("rf_event"), call_sid);
    question_arg(&q, id);
    question_arg(&q, status_terminal(status) ? "1" : "0");
    question_arg(&q, status);
    question_arg(&q, "-1"); /* below the carrier's own */
    question_entry(&q, type, values, ARRAY_LEN(values));
    tell(w, &q);
}

struct resolving {
    struct request *request;
    void (*handle)(struct request *r);
};

static void on_alias(const redisReply *reply, void *arg)
{
    struct resolving *resolving = arg;
    struct request *r = resolving->request;
    void (*handle)(struct request *) = resolving->handle;
    free(resolving);
    if (!reply) {
        request_answer_status(r, 503); /* the carrier comes again; under the wrong name its word would be lost */
        return;
    }
    if (reply->type == REDIS_REPLY_STRING && call_sid_valid(reply->str)) {
        strcpy(r->own_sid, reply->str);
        r->call_sid = r->own_sid;
    }
    handle(r);
}

void link_resolve(struct request *r, void (*handle)(struct request *r))
{
    const char *direction = form_get(&r->form, "Direction");
    struct resolving *resolving;
    struct question q;
    if (!r->w->outbound || *r->own_sid || (*direction && strncmp(direction, "outbound", 8) != 0)) {
        handle(r);
        return;
    }
    question_init_command(&q, "GET");
    question_key_alias(&q, r->w, r->call_sid);
    resolving = malloc(sizeof *resolving);
    if (resolving) {
        *resolving = (struct resolving){r, handle};
        if (ask(r->w, &q, on_alias, resolving) == 0)
            return;
    }
    free(resolving);
    request_answer_status(r, 503);
}
