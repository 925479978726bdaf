/* POST /voice/incoming: a call rings. Reserve its place in Redis and load its context, both at once, write the context
 * there, connect the call.
 *
 * The states, in the order a good call visits them (the first two come in either order):
 *
 *   BEGUN     Redis is asked for the call's place (place.h), its context is being made (warm.h)
 *   RESERVED  the place is there, the context is still to come
 *   WARMED    the context is there, Redis' answer is still to come
 *   OPENING   the context is being written
 *   ANSWERED  the carrier has its answer; the database's, or the rest of it, may still be to come, and will be filled in
 *   DONE      nothing more will come; the object is gone
 *
 * A call that rings alone is answered with what the first seconds need (load.h, early); the booked times and the full prompt
 * are written a moment later. That is one write and some turns of the loop more, so when several calls are being opened
 * each of them waits for all of it: sooner or later all of them are better off. */
#include "warmer/incoming.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "warmer/after.h"
#include "warmer/place.h"
#include "warmer/sorry.h"
#include "warmer/warm.h"
#include "warmer/withheld.h"
#include "warmer/wrong.h"

enum state { BEGUN, RESERVED, WARMED, OPENING, ANSWERED, DONE };

enum { PARTY_SIZE = 256, EARLY_MAX = 2 /* calls being opened */ };

struct incoming {
    enum state state;
    struct warmer *w;
    struct request *request; /* NULL once answered */
    char call_sid[CALL_SID_SIZE];
    bool outbound;
    bool rescue;             /* the carrier's fallback: the call may have had a stream already */
    bool asked;              /* Redis' answer is still to come */
    bool more;               /* the database's is */
    bool untold;             /* the log line is still to be written */
    bool opened;             /* the carrier got a stream */
    bool recorded;           /* the call's row is certainly in the database */
    enum warm_source source; /* of context */
    struct event *later;     /* what need not keep the caller waiting */
    struct place place;
    struct context *context; /* what Redis gets: ours, or lent by warm.c until its second answer */
    struct context *rest;    /* what came after it, for Redis as well: ours, or late; NULL: nothing */
    bool overdue;            /* and after the deadline */
    struct context ours, late;
    int64_t began_us;
    int load_ms, total_ms;
};

static int elapsed_ms(const struct incoming *in)
{
    return (int)((clock_mono_us() - in->began_us) / 1000);
}

/* ---- answers ---- */

static void count_opening(struct warmer *w, size_t opening)
{
    w->opening = opening;
    metric_set(&w->metrics.opening, opening);
    rush_note(&w->rush, opening);
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

static void answer_with_stream(struct incoming *in)
{
    struct twiml document;
    after_stream(&document, &in->w->config, 0, in->place.token, NULL, (struct twiml_wait){0, ""});
    request_answer(take_request(in), &document);
}

/* All of it, or what there was when the carrier got its answer. */
static bool from_database(const struct incoming *in)
{
    return in->source == WARM_DATABASE || in->source == WARM_PARTIAL;
}

static void count_opened(struct incoming *in, bool again)
{
    struct warmer_metrics *m = &in->w->metrics;
    if (again)
        metric_add(&m->opened_again, 1);
    else
        metric_add(from_database(in)             ? &m->opened_database
                   : in->source == WARM_SNAPSHOT ? &m->opened_snapshot
                                                 : &m->opened_minimal,
                   1);
}

static void log_opened(struct incoming *in)
{
    count_opened(in, in->place.again);
    log_info(in->call_sid, in->place.again ? "call opened again" : "call opened",
             log_str("source", warm_source_name(from_database(in) ? WARM_DATABASE : in->source)),
             log_int("load_ms", in->load_ms), log_int("total_ms", in->total_ms),
             log_phone("from", context_get(in->context, "from")), log_phone("to", context_get(in->context, "to")),
             log_str("business_id", context_get(in->context, "business_id")),
             log_name("lead", context_get(in->context, "lead_first_name")));
}

/* What the database said after the carrier had its answer, or to one of its webhooks that came again. */
static void fill(struct incoming *in, const struct context *context, bool late)
{
    if (in->place.complete)
        return;
    if (late)
        log_info(in->call_sid, "call context late", log_int("load_ms", elapsed_ms(in)));
    place_fill(in->w, in->call_sid, context, late);
}

/* ---- the states ---- */

/* The only way to DONE. The caller returns at once: the object is gone. */
static void finish(struct incoming *in)
{
    in->state = DONE;
    event_free(in->later);
    context_release(&in->late);
    context_release(&in->ours);
    free(in);
}

static void finish_if_over(struct incoming *in)
{
    if (!in->asked && !in->more && !in->untold)
        finish(in);
}

static void enter_answered(struct incoming *in)
{
    in->state = ANSWERED;
    finish_if_over(in);
}

static void turn_away(struct incoming *in, const char *why)
{
    apologize(in, why);
    enter_answered(in);
}

/* The log line, and what came late, go once the answer is on its way: behind it in the queue of this turn. A call that is
 * rescued and has had a stream goes on after that one. */
static void connect_call(struct incoming *in)
{
    in->opened = in->untold = true;
    if (in->rescue && in->place.claimed_n != PLACE_NEVER) {
        struct request *r = take_request(in);
        r->n = in->place.claimed_n;
        after_handle(r);
    } else {
        answer_with_stream(in);
    }
    event_active(in->later, EV_TIMEOUT, 0);
    enter_answered(in);
}

static void on_later(evutil_socket_t fd, short what, void *arg)
{
    struct incoming *in = arg;
    (void)fd;
    (void)what;
    in->untold = false;
    log_opened(in);
    if (in->rest)
        fill(in, in->rest, in->overdue);
    finish_if_over(in);
}

static void on_written(const redisReply *reply, void *arg)
{
    struct incoming *in = arg;
    in->asked = false;
    if (place_written(reply))
        connect_call(in);
    else
        turn_away(in, reply ? "its place in redis is gone" : "redis did not answer");
}

static void enter_opening(struct incoming *in)
{
    in->state = OPENING;
    if (in->place.has_context) { /* the same webhook came before: its answer holds, and a better context is filled in */
        if (from_database(in))
            fill(in, in->context, !in->place.partial);
        context_written(in->context);
        connect_call(in);
        return;
    }
    in->asked = place_write(in->w, &in->place, in->call_sid, in->context, in->recorded, on_written, in) == 0;
    context_written(in->context);
    if (!in->asked)
        turn_away(in, "redis is away");
}

static void on_reserved(const redisReply *reply, void *arg)
{
    struct incoming *in = arg;
    in->asked = false;
    if (in->state == ANSWERED) /* refused meanwhile */
        finish_if_over(in);
    else if (!place_take(&in->place, reply))
        turn_away(in, "redis did not answer");
    else if (in->state == WARMED)
        enter_opening(in);
    else
        in->state = RESERVED;
}

static void take_context(struct incoming *in, const struct warmed *warmed)
{
    in->source = warmed->source;
    in->recorded = warmed->recorded;
    in->load_ms = elapsed_ms(in);
    in->context = warmed->lent ? warmed->context : &in->ours;
    if (!warmed->lent)
        context_move(&in->ours, warmed->context);
}

static void on_first_context(struct incoming *in, const struct warmed *warmed)
{
    if (warmed->source == WARM_UNKNOWN) {
        refuse(in);
        place_give_up(in->w, &in->place, in->call_sid);
        enter_answered(in);
        return;
    }
    take_context(in, warmed);
    if (in->state == RESERVED)
        enter_opening(in);
    else
        in->state = WARMED;
}

/* What was lent, completed. */
static void take_over(struct incoming *in, const struct warmed *warmed)
{
    in->source = warmed->source;
    in->recorded = warmed->recorded;
    context_move(&in->ours, warmed->context);
    in->context = &in->ours;
}

/* The rest of the first one; or, after one from elsewhere, the database's. */
static void on_second_context(struct incoming *in, const struct warmed *warmed)
{
    bool completes = warmed->context == in->context;
    if (completes)
        take_over(in, warmed);
    else if (warmed->source != WARM_DATABASE)
        return;
    else if (in->state == WARMED)
        take_context(in, warmed);
    else
        context_move(&in->late, warmed->context);
    if (in->state == WARMED) /* in time: it is written with the first */
        return;
    in->rest = completes ? &in->ours : &in->late;
    in->overdue = warmed->late;
}

static void on_warmed(const struct warmed *warmed, void *arg)
{
    struct incoming *in = arg;
    in->more = warmed->more;
    switch (in->state) {
    case BEGUN:
    case RESERVED:
        on_first_context(in, warmed);
        break;
    case WARMED:
    case OPENING:
        on_second_context(in, warmed);
        break;
    case ANSWERED:
        on_second_context(in, warmed);
        if (in->opened && !in->untold && in->rest) /* else it goes behind the log line */
            fill(in, in->rest, in->overdue);
        finish_if_over(in);
        break;
    case DONE:
        break;
    }
}

static void begin(struct incoming *in)
{
    const struct form *form = &in->request->form;
    const struct warm_call call = {
        .load = {in->call_sid, withheld_or(form_get(form, "From")), form_get(form, "To"), in->outbound ? "outbound" : "inbound",
                 .open = true, .early = in->w->opening <= EARLY_MAX},
        .channel = CONTEXT_VOICE,
        .answered_by = form_get(form, "AnsweredBy"),
    };
    const char *wrong = NULL;
    if (!redis_async_up(in->w->redis)) /* no use to ask the database either */
        wrong = "redis is away";
    else if (warm(in->w, &call, on_warmed, in) != 0)
        wrong = NO_MEMORY;
    if (wrong) {
        in->more = false;
        turn_away(in, wrong);
        return;
    }
    wrong = place_reserve(in->w, &in->place, in->call_sid, call.load.from, call.load.to, on_reserved, in);
    in->asked = !wrong;
    if (wrong)
        turn_away(in, wrong);
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
    in->more = true;
    in->began_us = r->began_us;
    strcpy(in->call_sid, r->call_sid);
    count_opening(r->w, r->w->opening + 1);
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
