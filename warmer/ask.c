#include "warmer/ask.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/decimal.h"
#include "common/base/log.h"

struct asked {
    struct warmer *w;
    struct event *deadline;
    ask_fn *fn; /* NULL once told */
    void *arg;
    bool in_redis; /* the callback of redis_async is still to come */
};

void question_init(struct question *q, const char *function)
{
    q->_argc = q->_keys = q->_numbers = 0;
    q->_function = true;
    q->_too_long = false;
    question_arg(q, "FCALL");
    question_arg(q, function);
    question_arg(q, "0");
}

void question_init_command(struct question *q, const char *command)
{
    q->_argc = q->_keys = q->_numbers = 0;
    q->_function = q->_too_long = false;
    question_arg(q, command);
}

static void add(struct question *q, const char *text, size_t len)
{
    if (q->_argc == QUESTION_ARGS_MAX) {
        q->_too_long = true;
        return;
    }
    q->_argv[q->_argc] = text;
    q->_lens[q->_argc++] = len;
}

void question_arg(struct question *q, const char *text)
{
    add(q, text, strlen(text));
}

void question_field(struct question *q, const struct context_field *field)
{
    question_arg(q, field->name);
    add(q, field->value, field->value_len);
}

void question_number(struct question *q, int64_t number)
{
    char *text = q->_number_text[q->_numbers++];
    decimal_put(text, number);
    question_arg(q, text);
}

void question_entry(struct question *q, const struct journal_type_row *type, const char *const *values, size_t count)
{
    question_arg(q, "type");
    question_arg(q, type->name);
    question_arg(q, "by");
    question_arg(q, "warmer");
    for (size_t i = 0; i < count; i++) {
        if (!values[i])
            continue;
        question_arg(q, type->fields[i]);
        question_arg(q, values[i]);
    }
}

static void add_key(struct question *q, const char *key)
{
    static const char *const counts[QUESTION_KEYS_MAX + 1] = {"0", "1", "2", "3", "4", "5"};
    q->_keys++;
    question_arg(q, key);
    if (q->_function)
        q->_argv[2] = counts[q->_keys];
}

static void add_key_or_not(struct question *q, const char *key)
{
    if (key)
        add_key(q, key);
    else
        q->_too_long = true;
}

void question_key(struct question *q, const struct warmer *w, enum key_kind kind, const char *call_sid)
{
    add_key(q, key_of_call(q->_key_text[q->_keys], &w->keys, kind, call_sid));
}

void question_key_global(struct question *q, const struct warmer *w, const char *kind, const char *id)
{
    add_key_or_not(q, key_global(q->_key_text[q->_keys], &w->keys, kind, id, NULL));
}

void question_key_alias(struct question *q, const struct warmer *w, const char *id)
{
    add_key_or_not(q, key_alias(q->_key_text[q->_keys], &w->keys, id));
}

void question_key_outbound(struct question *q, const struct warmer *w, const char *kind, const char *id)
{
    add_key_or_not(q, key_outbound(q->_key_text[q->_keys], &w->keys, kind, id));
}

static void release_when_over(struct asked *a)
{
    if (a->fn || a->in_redis)
        return;
    event_free(a->deadline);
    free(a);
}

static void tell(struct asked *a, const redisReply *reply)
{
    ask_fn *fn = a->fn;
    a->fn = NULL;
    if (fn)
        fn(reply, a->arg);
}

static void on_reply(redisAsyncContext *ctx, void *r, void *arg)
{
    static struct log_limit limit;
    struct asked *a = arg;
    const redisReply *reply = r;
    (void)ctx;
    a->in_redis = false;
    a->w->questions--;
    if (reply && reply->type == REDIS_REPLY_ERROR) {
        metric_add(&a->w->metrics.ask_errors, 1);
        if (log_allow(&limit))
            log_error(NULL, "redis refused", log_str("error", reply->str), log_int("suppressed", limit.suppressed));
        reply = NULL;
    } else if (!reply && a->fn) {
        metric_add(&a->w->metrics.ask_away, 1);
    }
    tell(a, reply);
    release_when_over(a);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct asked *a = arg;
    (void)fd;
    (void)what;
    metric_add(&a->w->metrics.ask_late, 1);
    tell(a, NULL);
    release_when_over(a);
}

static void forget(struct asked *a)
{
    if (a && a->deadline)
        event_free(a->deadline);
    free(a);
}

static bool send_question(struct warmer *w, const struct question *q, struct asked *a)
{
    const char **argv = (const char **)(uintptr_t)q->_argv;
    if (w->questions == QUESTIONS_MAX) {
        metric_add(&w->metrics.ask_full, 1);
        return false;
    }
    if (q->_too_long || redis_async_send(w->redis, on_reply, a, q->_argc, argv, q->_lens) != 0) {
        metric_add(&w->metrics.ask_away, 1);
        return false;
    }
    w->questions++;
    return true;
}

int ask(struct warmer *w, const struct question *q, ask_fn *fn, void *arg)
{
    struct timeval tv = warmer_deadline(w);
    struct asked *a = calloc(1, sizeof *a);
    if (a)
        a->deadline = evtimer_new(w->base, on_deadline, a);
    if (!a || !a->deadline || !send_question(w, q, a)) {
        forget(a);
        return -1;
    }
    a->w = w;
    a->fn = fn;
    a->arg = arg;
    a->in_redis = true;
    evtimer_add(a->deadline, &tv);
    return 0;
}
