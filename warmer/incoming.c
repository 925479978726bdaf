/* POST /voice/incoming: a call rings. Load its context, keep it in Redis, connect the call.
 *
 * The states, in the order a good call visits them:
 *
 *   WARMING        its context is being made (warm.h)
 *   OPENING        Redis is asked to open the call with it
 *   OPENING_AHEAD  the same while the database's own answer is still to come
 *   FILLING        the carrier has its answer, the database's is still to come and will be filled in
 *   DONE           nothing more will come; the object is gone
 */
#include "warmer/incoming.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/token.h"
#include "common/redis/functions.h"
#include "warmer/after.h"
#include "warmer/ask.h"
#include "warmer/sorry.h"
#include "warmer/warm.h"
#include "warmer/wrong.h"

enum state { WARMING, OPENING, OPENING_AHEAD, FILLING, DONE };

enum { PARTY_SIZE = 256 };

struct incoming {
    enum state state;
    struct warmer *w;
    struct request *request; /* NULL once answered */
    char call_sid[CALL_SID_SIZE];
    bool outbound;
    bool rescue;             /* the carrier's fallback: the call may have had a stream already */
    bool recorded;           /* the call's row is certainly in the database */
    bool opened, again;      /* by Redis; it was before */
    enum warm_source source; /* of context */
    struct event *later;     /* what need not keep the caller waiting */
    char token[TOKEN_SIZE];  /* "" until it is made */
    struct context context;  /* what Redis gets */
    struct context late;     /* what came after it */
    int64_t began_us;
    int load_ms, total_ms;
};

static int elapsed_ms(const struct incoming *in)
{
    return (int)((clock_mono_us() - in->began_us) / 1000);
}

static void put_fields(struct question *q, const struct context *c)
{
    for (size_t i = 0; i < c->count; i++)
        question_field(q, &c->fields[i]);
}

/* ---- answers ---- */

static void count_opening(struct warmer *w, size_t opening)
{
    w->opening = opening;
    metric_set(&w->metrics.opening, opening);
}

static struct request *take_request(struct incoming *in)
{
    struct request *r = in->request;
    in->request = NULL;
    in->total_ms = elapsed_ms(in);
    metric_observe_us(&in->w->metrics.answer_seconds, clock_mono_us() - in->began_us);
    count_opening(in->w, in->w->opening - 1);
    return r;
}

static const char *business_number(const struct request *r, bool outbound)
{
    return form_get(&r->form, outbound ? "From" : "To");
}

static void refuse(struct incoming *in)
{
    struct twiml document;
    metric_add(&in->w->metrics.refused, 1);
    log_warn(in->call_sid, "call refused: nobody has this number",
             log_phone("from", form_get(&in->request->form, "From")),
             log_phone("to", form_get(&in->request->form, "To")));
    twiml_say_and_hang_up(&document, in->w->config.refusal_text);
    request_answer(take_request(in), &document);
}

static void apologize(struct incoming *in, const char *why)
{
    struct twiml document;
    metric_add(&in->w->metrics.sorry_redis, 1);
    log_error(in->call_sid, "call not served", log_str("why", why), log_int("total_ms", elapsed_ms(in)));
    sorry_document(in->w, business_number(in->request, in->outbound), &document);
    request_answer(take_request(in), &document);
}

static void answer_with_stream(struct incoming *in, const char *token)
{
    struct twiml document;
    after_stream(&document, &in->w->config, 0, token, NULL, (struct twiml_wait){0, ""});
    request_answer(take_request(in), &document);
}

static void count_opened(struct incoming *in, bool again)
{
    struct warmer_metrics *m = &in->w->metrics;
    if (again)
        metric_add(&m->opened_again, 1);
    else
        metric_add(in->source == WARM_DATABASE   ? &m->opened_database
                   : in->source == WARM_SNAPSHOT ? &m->opened_snapshot
                                                 : &m->opened_minimal,
                   1);
}

static void log_opened(struct incoming *in)
{
    count_opened(in, in->again);
    log_info(in->call_sid, in->again ? "call opened again" : "call opened",
             log_str("source", warm_source_name(in->source)), log_int("load_ms", in->load_ms),
             log_int("total_ms", in->total_ms), log_phone("from", context_get(&in->context, "from")),
             log_phone("to", context_get(&in->context, "to")),
             log_str("business_id", context_get(&in->context, "business_id")),
             log_name("lead", context_get(&in->context, "lead_first_name")));
}

/* ---- Redis ---- */

static void on_filled(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (strcmp(redis_word(reply), "FILLED") == 0)
        metric_add(&w->metrics.filled_late, 1);
}

/* What came after the answer: workers pick it up with the full prompt. */
static void fill(struct incoming *in, const struct context *context)
{
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_fill"));
    question_key(&q, in->w, KEY_CONTEXT, in->call_sid);
    put_fields(&q, context);
    log_info(in->call_sid, "call context late", log_int("load_ms", elapsed_ms(in)));
    if (ask(in->w, &q, on_filled, in->w) != 0)
        log_warn(in->call_sid, "late context not kept", log_str("why", "redis is away"));
}

static void on_opened(const redisReply *reply, void *arg);

static void mint_token(struct incoming *in)
{
    token_mint(in->token, in->w->config.stream_secret, in->call_sid, 0,
               clock_wall_ms() + in->w->config.token_ttl_seconds * 1000);
}

/* NULL, or why not. */
static const char *ask_to_open(struct incoming *in)
{
    struct question q;
    if (!*in->token)
        mint_token(in);
    if (!*in->token)
        return NO_MEMORY;
    question_init(&q, REDIS_FUNCTION("rf_open"));
    question_key(&q, in->w, KEY_CONTEXT, in->call_sid);
    question_key(&q, in->w, KEY_SESSION, in->call_sid);
    question_key(&q, in->w, KEY_LIVE, in->call_sid);
    if (!in->recorded)
        question_key(&q, in->w, KEY_EVENTS, in->call_sid);
    question_arg(&q, in->call_sid);
    question_arg(&q, in->token);
    question_number(&q, in->w->config.context_ttl_seconds);
    question_number(&q, warmer_lease_ms(in->w));
    question_number(&q, in->w->config.token_ttl_seconds * 1000);
    put_fields(&q, &in->context);
    return ask(in->w, &q, on_opened, in) == 0 ? NULL : "redis is away";
}

/* ---- the states ---- */

/* The only way to DONE. The caller returns at once: the object is gone. */
static void finish(struct incoming *in)
{
    in->state = DONE;
    event_free(in->later);
    context_release(&in->late);
    context_release(&in->context);
    free(in);
}

/* The carrier has its answer. */
static void leave_opening(struct incoming *in)
{
    if (in->state == OPENING_AHEAD) {
        in->state = FILLING;
        return;
    }
    if (in->late.count > 0)
        fill(in, &in->late);
    finish(in);
}

/* The same webhook came before: its answer holds. A better context than it had then is filled in. A call
 * that is rescued and has had a stream goes on after that one. */
static void go_on(struct incoming *in, const redisReply *reply)
{
    const char *source = redis_text(reply, 2), *claimed_n = redis_text(reply, 3);
    if (in->source == WARM_DATABASE && strcmp(source, warm_source_name(WARM_DATABASE)) != 0)
        fill(in, &in->context);
    if (in->rescue && *claimed_n) {
        struct request *r = take_request(in);
        r->n = atoi(claimed_n);
        after_handle(r);
    } else {
        answer_with_stream(in, redis_text(reply, 1));
    }
}

/* Runs while the database works, to make the token; and once the answer is on its way, to tell of it. */
static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct incoming *in = arg;
    (void)fd;
    (void)what;
    if (in->opened) {
        log_opened(in);
        leave_opening(in);
    } else if (!*in->token) {
        if (in->w->opening == 1)
            ask_wake(in->w, in->call_sid);
        mint_token(in);
    }
}

/* OPENED token | EXISTS token source claimed_n */
static void on_opened(const redisReply *reply, void *arg)
{
    struct incoming *in = arg;
    in->again = strcmp(redis_word(reply), "EXISTS") == 0;
    in->opened = in->again || strcmp(redis_word(reply), "OPENED") == 0;
    if (!in->opened) {
        apologize(in, "redis did not answer");
        leave_opening(in);
        return;
    }
    if (in->again)
        go_on(in, reply);
    else
        answer_with_stream(in, redis_text(reply, 1));
    event_active(in->later, EV_TIMEOUT, 0);
}

static void enter_opening(struct incoming *in, const struct warmed *warmed)
{
    const char *wrong;
    in->source = warmed->source;
    in->recorded = warmed->recorded;
    in->load_ms = elapsed_ms(in);
    if (warmed->source == WARM_UNKNOWN) {
        refuse(in);
        finish(in);
        return;
    }
    context_move(&in->context, warmed->context);
    in->state = warmed->more ? OPENING_AHEAD : OPENING;
    wrong = ask_to_open(in);
    if (!wrong)
        return;
    apologize(in, wrong);
    leave_opening(in);
}

static void on_warmed(const struct warmed *warmed, void *arg)
{
    struct incoming *in = arg;
    switch (in->state) {
    case WARMING:
        enter_opening(in, warmed);
        break;
    case OPENING_AHEAD:
        context_move(&in->late, warmed->context);
        in->state = OPENING;
        break;
    case FILLING:
        if (warmed->context->count > 0)
            fill(in, warmed->context);
        finish(in);
        break;
    case OPENING:
    case DONE:
        break;
    }
}

static void begin(struct incoming *in)
{
    const struct form *form = &in->request->form;
    const struct warm_call call = {
        .load = {in->call_sid, form_get(form, "From"), form_get(form, "To"), in->outbound ? "outbound" : "inbound",
                 .open = true},
        .channel = CONTEXT_VOICE,
        .answered_by = form_get(form, "AnsweredBy"),
    };
    if (!redis_async_up(in->w->redis)) { /* no use to ask the database either */
        apologize(in, "redis is away");
        finish(in);
    } else if (warm(in->w, &call, on_warmed, in) != 0) {
        apologize(in, NO_MEMORY);
        finish(in);
    }
}

/* More calls than can be opened in time: each further one would make all of them late. */
static void shed(struct request *r, bool outbound)
{
    static struct log_limit limit;
    struct twiml document;
    metric_add(&r->w->metrics.sorry_overload, 1);
    if (log_allow(&limit))
        log_error(r->call_sid, "call not served", log_str("why", "overload"), log_int("suppressed", limit.suppressed));
    sorry_document(r->w, business_number(r, outbound), &document);
    request_answer(r, &document);
}

static void start(struct request *r, bool rescue)
{
    bool outbound = strncmp(form_get(&r->form, "Direction"), "outbound", 8) == 0;
    struct incoming *in;
    if (!*form_get(&r->form, "To") || strlen(form_get(&r->form, "To")) >= PARTY_SIZE ||
        strlen(form_get(&r->form, "From")) >= PARTY_SIZE) {
        request_refuse(r, "no usable From and To");
        return;
    }
    if (r->w->opening >= (size_t)r->w->config.max_opening) {
        shed(r, outbound);
        return;
    }
    in = calloc(1, sizeof *in);
    if (!in || !(in->later = evtimer_new(r->w->base, on_later, in))) {
        free(in);
        request_refuse(r, NO_MEMORY);
        return;
    }
    in->w = r->w;
    in->request = r;
    in->outbound = outbound;
    in->rescue = rescue;
    in->began_us = r->began_us;
    strcpy(in->call_sid, r->call_sid);
    count_opening(r->w, r->w->opening + 1);
    event_active(in->later, EV_TIMEOUT, 0);
    begin(in);
}

void incoming_handle(struct request *r)
{
    start(r, false);
}

void incoming_rescue(struct request *r)
{
    start(r, true);
}
