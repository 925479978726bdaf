#include "warmer/place.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/warm.h"
#include "warmer/wrong.h"

static void put_fields(struct question *q, const struct context *c)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->fields[i].due)
            question_field(q, &c->fields[i]);
    }
}

const char *place_reserve(struct warmer *w, struct place *place, const char *call_sid, const char *from, const char *to,
                          ask_fn *fn, void *arg)
{
    int64_t token_ms = w->config.token_ttl_seconds * 1000;
    struct question q;
    *place = (struct place){.claimed_n = PLACE_NEVER};
    token_mint(place->token, w->config.stream_secret, call_sid, 0, clock_wall_ms() + token_ms);
    if (!*place->token)
        return NO_MEMORY;
    question_init(&q, REDIS_FUNCTION("rf_open"));
    question_key(&q, w, KEY_CONTEXT, call_sid);
    question_key(&q, w, KEY_SESSION, call_sid);
    question_key(&q, w, KEY_LIVE, call_sid);
    question_arg(&q, call_sid);
    question_arg(&q, place->token);
    question_number(&q, w->config.context_ttl_seconds);
    question_number(&q, warmer_lease_ms(w));
    question_number(&q, token_ms);
    question_arg(&q, "from");
    question_arg(&q, from);
    question_arg(&q, "to");
    question_arg(&q, to);
    return ask(w, &q, fn, arg) == 0 ? NULL : "redis is away";
}

/* OPENED token | EXISTS token source claimed_n */
bool place_take(struct place *place, const redisReply *reply)
{
    const char *source = redis_text(reply, 2), *claimed_n = redis_text(reply, 3);
    if (strcmp(redis_word(reply), "OPENED") == 0)
        return true;
    if (strcmp(redis_word(reply), "EXISTS") != 0)
        return false;
    snprintf(place->token, sizeof place->token, "%s", redis_text(reply, 1));
    place->again = true;
    place->complete = strcmp(source, warm_source_name(WARM_DATABASE)) == 0;
    place->partial = strcmp(source, warm_source_name(WARM_PARTIAL)) == 0;
    if (*claimed_n)
        place->claimed_n = atoi(claimed_n);
    place->has_context = *source || *claimed_n; /* a worker that came had one; in a long call its time may be over */
    return true;
}

int place_write(struct warmer *w, const struct place *place, const char *call_sid, const struct context *context,
                bool recorded, ask_fn *fn, void *arg)
{
    const char *source = context_get(context, "source");
    bool best = strcmp(source, warm_source_name(WARM_DATABASE)) == 0 || strcmp(source, warm_source_name(WARM_PARTIAL)) == 0;
    struct question q;
    if (best && recorded && !place->again)
        question_init_command(&q, "HSET");
    else
        question_init(&q, REDIS_FUNCTION("rf_fill"));
    question_key(&q, w, KEY_CONTEXT, call_sid);
    if (!recorded)
        question_key(&q, w, KEY_EVENTS, call_sid);
    put_fields(&q, context);
    return ask(w, &q, fn, arg);
}

/* FILLED count | BETTER | GONE; of HSET a number */
bool place_written(const redisReply *reply)
{
    const char *word = redis_word(reply);
    return (reply && reply->type == REDIS_REPLY_INTEGER) || strcmp(word, "FILLED") == 0 || strcmp(word, "BETTER") == 0;
}

static void on_filled_late(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (strcmp(redis_word(reply), "FILLED") == 0)
        metric_add(&w->metrics.filled_late, 1);
}

/* What failed has been counted. */
static void on_filled(const redisReply *reply, void *arg)
{
    (void)reply;
    (void)arg;
}

void place_fill(struct warmer *w, const char *call_sid, const struct context *context, bool late)
{
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_fill"));
    question_key(&q, w, KEY_CONTEXT, call_sid);
    put_fields(&q, context);
    if (ask(w, &q, late ? on_filled_late : on_filled, w) != 0)
        log_warn(call_sid, "context not completed", log_str("why", "redis is away"));
}

/* REFUSED | KEPT. Should it be lost, the flusher's sweep ends what nobody streams to. */
static void on_given_up(const redisReply *reply, void *arg)
{
    (void)reply;
    (void)arg;
}

void place_give_up(struct warmer *w, const struct place *place, const char *call_sid)
{
    struct question q;
    if (place->again) /* it is another's, who may still serve the call */
        return;
    question_init(&q, REDIS_FUNCTION("rf_refuse"));
    question_key(&q, w, KEY_CONTEXT, call_sid);
    question_key(&q, w, KEY_SESSION, call_sid);
    question_key(&q, w, KEY_EVENTS, call_sid);
    question_key(&q, w, KEY_LIVE, call_sid);
    question_key(&q, w, KEY_ENDED, call_sid);
    question_arg(&q, call_sid);
    question_arg(&q, place->token);
    if (ask(w, &q, on_given_up, NULL) != 0)
        return; /* the sweep again */
}
