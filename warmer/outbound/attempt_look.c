/* An attempt without an answer: the provider may have dialled. Its list is looked at before anybody is dialled again. */
#include <string.h>

#include "warmer/ask.h"
#include "warmer/outbound/attempt_parts.h"

enum { LOOKS_MAX = 3 };

/* ---- which of the provider's calls it is ---- */

static void check_next(struct attempt *a);

/* A call that is another one's by now is not ours. */
static void on_alias(const redisReply *reply, void *arg)
{
    struct attempt *a = arg;
    bool ours = reply && (reply->type == REDIS_REPLY_NIL || (reply->type == REDIS_REPLY_STRING && strcmp(reply->str, a->sid) == 0));
    if (!reply) {
        a->on_unsure(a, "redis did not answer");
    } else if (ours) {
        a->on_found(a, a->found.ids[a->checking]);
    } else {
        a->checking++;
        check_next(a);
    }
}

static void check_next(struct attempt *a)
{
    struct question q;
    if (a->checking == a->found.count) {
        a->on_found(a, NULL);
        return;
    }
    question_init_command(&q, "GET");
    question_key_alias(&q, a->w, a->found.ids[a->checking]);
    if (ask(a->w, &q, on_alias, a) != 0)
        on_alias(NULL, a);
}

static void on_looked(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct attempt *a = arg;
    (void)len;
    a->http = NULL;
    if (error || !a->provider->found(&a->found, status, body, job_number(a->job, "asked")))
        a->on_unsure(a, error ? error : "the provider's list was refused");
    else
        check_next(a);
}

void attempt_seek(struct attempt *a)
{
    struct provider_request request;
    bool made = a->provider->look(&request, &a->w->config, a->sid, a->job);
    if (!made)
        provider_request_release(&request);
    if (!made || !attempt_send(a, &request, false, on_looked))
        a->on_unsure(a, "the request cannot be made");
}

/* ---- what follows of it ---- */

static void not_found(struct attempt *a)
{
    int64_t looks = job_number(a->job, "looks") + 1;
    if (looks < LOOKS_MAX)
        attempt_look_later(a, (int64_t)UNSURE_MS << looks, looks, "the provider does not know it so far");
    else
        attempt_retry(a, 0, true, "the provider took no such call");
}

static void on_found(struct attempt *a, const char *id)
{
    if (!id) {
        not_found(a);
        return;
    }
    metric_add(&a->w->metrics.dial_found, 1);
    attempt_dialled(a, a->provider->ids_are_conversations ? "" : id, a->provider->ids_are_conversations ? id : "");
}

static void on_unsure(struct attempt *a, const char *why)
{
    if (attempt_too_late(a, UNSURE_MS))
        attempt_fail(a, "whether it was dialled is not known: the provider could not be asked");
    else
        attempt_look_later(a, UNSURE_MS, job_number(a->job, "looks"), why);
}

void attempt_look(struct attempt *a)
{
    a->on_found = on_found;
    a->on_unsure = on_unsure;
    attempt_seek(a);
}
