/* POST /voice/incoming: a call rings. Load its context, keep it in Redis, connect the call.
 *
 * The states, in the order a good call visits them:
 *
 *   LOADING        the database is asked, the deadline runs
 *   OPENING        Redis is asked to open the call with the context
 *   OPENING_AHEAD  the same with a minimal context: the database's answer is still to come
 *   FILLING        the carrier has its answer, the database's is still to come and will be filled in
 *   DONE           nothing more will come; the object is gone
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/token.h"
#include "warmer/after.h"
#include "warmer/ask.h"
#include "warmer/context.h"
#include "warmer/load.h"
#include "warmer/server.h"

enum state { LOADING, OPENING, OPENING_AHEAD, FILLING, DONE };

enum { URL_MAX = 2048, PARTY_SIZE = 256 };

struct incoming {
    enum state state;
    struct warmer *w;
    struct request *request; /* NULL once answered */
    char call_sid[CALL_SID_SIZE];
    char from[PARTY_SIZE], to[PARTY_SIZE];
    struct context loaded;   /* what the database said */
    struct context context;  /* what Redis gets */
    struct event *deadline;
    int64_t began_us, opened_ms;
    int load_ms;
};

static void on_opened(const redisReply *reply, void *arg);

static int elapsed_ms(const struct incoming *in)
{
    return (int)((clock_mono_us() - in->began_us) / 1000);
}

/* ---- context ---- */

static void set(struct incoming *in, struct context *c, const char *name, const char *value)
{
    if (context_set(c, name, value) != 0) {
        metric_add(&in->w->metrics.fields_dropped, 1);
        log_error(in->call_sid, "no room in the context", log_str("field", name));
    }
}

/* Adds what the warmer itself knows, last, so that no column can stand in for it. */
static void complete_context(struct incoming *in, struct context *c, const char *source)
{
    char opened[24];
    snprintf(opened, sizeof opened, "%lld", (long long)in->opened_ms);
    set(in, c, "call_sid", in->call_sid);
    set(in, c, "from", in->from);
    set(in, c, "to", in->to);
    set(in, c, "direction", "inbound");
    set(in, c, "source", source);
    set(in, c, "opened_ms", opened);
    metric_add(&in->w->metrics.template_errors, (uint64_t)context_render(c));
}

static void put_fields(struct question *q, const struct context *c)
{
    for (size_t i = 0; i < c->count; i++) {
        question_arg(q, c->fields[i].name);
        question_arg(q, c->fields[i].value);
    }
}

/* ---- answers ---- */

static void answer(struct incoming *in, const struct twiml *document)
{
    metric_observe_us(&in->w->metrics.answer_seconds, clock_mono_us() - in->began_us);
    request_answer(in->request, document);
    in->request = NULL;
}

static void answer_with_words(struct incoming *in, const char *words)
{
    struct twiml document;
    twiml_say_and_hang_up(&document, words);
    answer(in, &document);
}

static void answer_with_stream(struct incoming *in, const char *token)
{
    struct twiml document;
    char action[URL_MAX];
    after_action(action, sizeof action, &in->w->config, 0);
    twiml_stream(&document, action, in->w->config.media_url, token);
    answer(in, &document);
}

static void refuse(struct incoming *in)
{
    metric_add(&in->w->metrics.refused, 1);
    log_warn(in->call_sid, "call refused: nobody has this number", log_phone("from", in->from),
             log_phone("to", in->to));
    answer_with_words(in, in->w->config.refusal_text);
}

static void apologize(struct incoming *in, const char *why)
{
    metric_add(&in->w->metrics.sorry_redis, 1);
    log_error(in->call_sid, "call not served", log_str("why", why), log_int("total_ms", elapsed_ms(in)));
    answer_with_words(in, in->w->config.apology_text);
}

static void log_opened(struct incoming *in, bool again)
{
    const char *source = context_get(&in->context, "source");
    if (again)
        metric_add(&in->w->metrics.opened_again, 1);
    else if (strcmp(source, "database") == 0)
        metric_add(&in->w->metrics.opened_database, 1);
    else
        metric_add(&in->w->metrics.opened_minimal, 1);
    log_info(in->call_sid, again ? "call opened again" : "call opened", log_str("source", source),
             log_int("load_ms", in->load_ms), log_int("total_ms", elapsed_ms(in)), log_phone("from", in->from),
             log_phone("to", in->to), log_str("business_id", context_get(&in->context, "business_id")),
             log_name("lead", context_get(&in->context, "lead_first_name")));
}

/* ---- asking ---- */

/* false: Redis is away. */
static bool ask_to_open(struct incoming *in)
{
    struct question q;
    char token[TOKEN_SIZE];
    token_mint(token, in->w->config.stream_secret, in->call_sid, 0,
               clock_wall_ms() + in->w->config.token_ttl_seconds * 1000);
    question_init(&q, "rf_open");
    question_key(&q, in->w, KEY_CONTEXT, in->call_sid);
    question_key(&q, in->w, KEY_SESSION, in->call_sid);
    question_key(&q, in->w, KEY_LIVE, in->call_sid);
    question_arg(&q, in->call_sid);
    question_arg(&q, token);
    question_number(&q, in->w->config.context_ttl_seconds);
    question_number(&q, warmer_lease_ms(in->w));
    put_fields(&q, &in->context);
    return ask(in->w, &q, on_opened, in) == 0;
}

static void on_filled(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (strcmp(redis_word(reply), "FILLED") == 0)
        metric_add(&w->metrics.filled_late, 1);
}

/* What came after the answer: workers pick it up with the full prompt. */
static void fill(struct incoming *in)
{
    struct question q;
    complete_context(in, &in->loaded, "database");
    question_init(&q, "rf_fill");
    question_key(&q, in->w, KEY_CONTEXT, in->call_sid);
    put_fields(&q, &in->loaded);
    log_info(in->call_sid, "call context late", log_int("load_ms", elapsed_ms(in)));
    if (ask(in->w, &q, on_filled, in->w) != 0)
        log_warn(in->call_sid, "late context not kept", log_str("why", "redis is away"));
}

/* ---- the states ---- */

/* The only way to DONE. The caller returns at once: the object is gone. */
static void finish(struct incoming *in)
{
    in->state = DONE;
    if (in->deadline)
        event_free(in->deadline);
    context_release(&in->loaded);
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
    if (in->loaded.count > 0)
        fill(in);
    finish(in);
}

static void enter_opening(struct incoming *in, enum state next)
{
    in->state = next;
    in->load_ms = elapsed_ms(in);
    event_del(in->deadline);
    if (next == OPENING_AHEAD || in->loaded.count == 0) {
        complete_context(in, &in->context, "minimal");
    } else {
        context_move(&in->context, &in->loaded);
        complete_context(in, &in->context, "database");
    }
    if (ask_to_open(in))
        return;
    apologize(in, "redis is away");
    leave_opening(in);
}

static void on_loaded(enum load_outcome outcome, void *arg)
{
    struct incoming *in = arg;
    switch (in->state) {
    case LOADING:
        if (outcome == LOAD_UNKNOWN) {
            refuse(in);
            finish(in);
        } else {
            enter_opening(in, OPENING);
        }
        break;
    case OPENING_AHEAD:
        in->state = OPENING; /* what was found waits for Redis in `loaded` */
        break;
    case FILLING:
        if (outcome == LOAD_FOUND)
            fill(in);
        finish(in);
        break;
    case OPENING: /* the database was not asked, or has answered */
    case DONE:
        break;
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    enter_opening(arg, OPENING_AHEAD); /* the deadline is armed in LOADING only */
}

/* OPENED token | EXISTS token */
static void on_opened(const redisReply *reply, void *arg)
{
    struct incoming *in = arg;
    bool opened = strcmp(redis_word(reply), "OPENED") == 0, exists = strcmp(redis_word(reply), "EXISTS") == 0;
    if (opened || exists) {
        answer_with_stream(in, redis_text(reply, 1));
        log_opened(in, exists);
    } else {
        apologize(in, "redis did not answer");
    }
    leave_opening(in);
}

static void begin(struct incoming *in)
{
    const struct load_call call = {in->call_sid, in->from, in->to, "inbound"};
    struct timeval tv = warmer_deadline(in->w);
    if (!redis_async_up(in->w->redis)) { /* no use to ask the database either */
        apologize(in, "redis is away");
        finish(in);
    } else if (load_call(in->w->loads, &call, &in->loaded, on_loaded, in) != 0) {
        enter_opening(in, OPENING);
    } else {
        in->state = LOADING;
        evtimer_add(in->deadline, &tv);
    }
}

void incoming_handle(struct request *r)
{
    const char *from = form_get(&r->form, "From"), *to = form_get(&r->form, "To");
    struct incoming *in;
    if (!*to || strlen(to) >= PARTY_SIZE || strlen(from) >= PARTY_SIZE) {
        metric_add(&r->w->metrics.malformed, 1);
        request_answer_status(r, 400);
        return;
    }
    in = calloc(1, sizeof *in);
    if (in)
        in->deadline = evtimer_new(r->w->base, on_deadline, in);
    if (!in || !in->deadline) {
        free(in);
        request_answer_status(r, 503);
        return;
    }
    in->w = r->w;
    in->request = r;
    in->began_us = r->began_us;
    in->opened_ms = clock_wall_ms();
    strcpy(in->call_sid, r->call_sid);
    strcpy(in->from, from);
    strcpy(in->to, to);
    begin(in);
}
