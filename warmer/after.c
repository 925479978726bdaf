/* POST /voice/after/{n}: stream n of a call has ended. The worker's verdict says what comes next;
 * without one the worker was lost, and the call gets another stream. */
#include "warmer/after.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log.h"
#include "common/base/token.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/overrides.h"
#include "warmer/patience.h"
#include "warmer/server.h"
#include "warmer/sorry.h"
#include "warmer/status.h"
#include "warmer/wrong.h"

enum { URL_MAX = 2048 };

/* A pause of less is over before anybody wonders. */
enum { SPOKEN_PAUSE_SECONDS = 2, PAUSE_MAX_MS = 20000 /* with the words */ };

/* Of ours, with room behind it; returns its end. */
static char *write_url(char out[URL_MAX], const struct warmer_config *config, const char *path)
{
    enum { ROOM = 128 };
    size_t len = strnlen(config->public_url, URL_MAX - ROOM);
    return stpcpy(mempcpy(out, config->public_url, len), path);
}

void after_stream(struct twiml *out, const struct warmer_config *config, int n, const char *token,
                  const char *call_sid, struct twiml_wait wait)
{
    char action[URL_MAX], status[URL_MAX], recording[URL_MAX];
    bool records = config->record_calls && n == 0; /* a recording goes on over all streams of its call */
    stpcpy(decimal_put(write_url(action, config, "/voice/after/"), n), TWILIO_OVERRIDES);
    write_url(status, config, "/voice/stream" TWILIO_OVERRIDES);
    write_url(recording, config, "/voice/recording" TWILIO_OVERRIDES);
    twiml_stream(out, &(struct twiml_stream){.wait = wait, .action = action, .media_url = config->media_url,
                                             .status_url = status, .token = token, .call_sid = call_sid,
                                             .recording_url = records ? recording : NULL});
}

static void hang_up(struct request *r, const char *why)
{
    struct twiml document;
    metric_add(&r->w->metrics.hung_up, 1);
    log_info(r->call_sid, "call hung up", log_int("n", r->n), log_str("why", why));
    twiml_hang_up(&document);
    request_answer(r, &document);
}

static const char *business_number(const struct request *r)
{
    bool outbound = strncmp(form_get(&r->form, "Direction"), "outbound", 8) == 0;
    return form_get(&r->form, outbound ? "From" : "To");
}

static void apologize(struct request *r, metric_value *counter, const char *why)
{
    struct twiml document;
    metric_add(counter, 1);
    log_error(r->call_sid, "call not resumed", log_int("n", r->n), log_str("why", why));
    sorry_document(r->w, business_number(r), &document);
    request_answer(r, &document);
}

static void nothing_more(struct request *r, const char *status)
{
    struct twiml document;
    metric_add(&r->w->metrics.over, 1);
    log_info(r->call_sid, "call is over", log_int("n", r->n), log_str("status", status));
    twiml_empty(&document);
    request_answer(r, &document);
}

static void obey(struct request *r, const char *verdict)
{
    static const char transfer[] = "transfer:";
    const char *number = verdict + sizeof transfer - 1;
    struct twiml document;
    if (strcmp(verdict, "hangup") == 0) {
        hang_up(r, "verdict");
    } else if (strcmp(verdict, "apology") == 0) { /* the worker could not give the caller an AI */
        metric_add(&r->w->metrics.apologized, 1);
        log_warn(r->call_sid, "call ends with an apology", log_int("n", r->n));
        sorry_words(r->w, business_number(r), &document);
        request_answer(r, &document);
    } else if (strncmp(verdict, transfer, sizeof transfer - 1) == 0 && twiml_number_good(number)) {
        metric_add(&r->w->metrics.transferred, 1);
        log_info(r->call_sid, "call transferred", log_int("n", r->n), log_phone("number", number));
        twiml_dial(&document, number);
        request_answer(r, &document);
    } else {
        log_error(r->call_sid, "verdict not understood", log_str("verdict", verdict));
        hang_up(r, "verdict not understood");
    }
}

/* seconds: 0 for none. */
static struct twiml_wait wait_of(struct request *r, int seconds, metric_value *counter)
{
    bool spoken = seconds >= SPOKEN_PAUSE_SECONDS;
    if (seconds > 0)
        metric_add(counter, 1);
    return (struct twiml_wait){seconds, spoken ? sorry_hold_text(r->w, business_number(r)) : ""};
}

static void resume(struct request *r, const char *token, int losses, int misses)
{
    struct twiml document;
    int seconds = patience_seconds(misses, (int)r->w->config.resume_wait_seconds);
    if (losses > r->w->config.max_resumes || seconds < 0) {
        apologize(r, &r->w->metrics.sorry_resumes, seconds < 0 ? "no worker has come" : "too many workers were lost");
        return;
    }
    if (r->n >= 0) {
        metric_add(&r->w->metrics.resumed, 1);
        log_info(r->call_sid, "call resumed", log_int("n", r->n + 1), log_int("losses", losses),
                 log_int("misses", misses), log_int("pause_seconds", seconds));
    }
    after_stream(&document, &r->w->config, r->n + 1, token, *r->own_sid ? r->own_sid : NULL,
                 wait_of(r, seconds, &r->w->metrics.waits_worker));
    request_answer(r, &document);
}

/* Redis may be restarting: what comes next is asked again, a little later. */
static void ask_later(struct request *r)
{
    struct twiml document;
    char url[URL_MAX];
    int seconds = patience_seconds(r->vain + 2, (int)r->w->config.resume_wait_seconds);
    if (seconds < 0 || r->n < 0) { /* n below 0: somebody has just picked up, and there is no call yet */
        apologize(r, &r->w->metrics.sorry_redis, "redis did not answer");
        return;
    }
    log_warn(r->call_sid, "redis did not answer: the call waits", log_int("n", r->n), log_int("pause_seconds", seconds));
    snprintf(url, sizeof url, "%s/voice/after/%d/%d" TWILIO_OVERRIDES, r->w->config.public_url, r->n, r->vain + 1);
    twiml_ask_again(&document, wait_of(r, seconds, &r->w->metrics.waits_redis), url);
    request_answer(r, &document);
}

/* UNKNOWN | FINAL status | VERDICT verdict | RESUME token losses misses */
static void on_reply(const redisReply *reply, void *arg)
{
    struct request *r = arg;
    const char *word = redis_word(reply);
    if (strcmp(word, "RESUME") == 0)
        resume(r, redis_text(reply, 1), atoi(redis_text(reply, 2)), atoi(redis_text(reply, 3)));
    else if (strcmp(word, "VERDICT") == 0)
        obey(r, redis_text(reply, 1));
    else if (strcmp(word, "FINAL") == 0)
        nothing_more(r, redis_text(reply, 1));
    else if (strcmp(word, "UNKNOWN") == 0)
        apologize(r, &r->w->metrics.sorry_unknown, "unknown call");
    else
        ask_later(r);
}

void after_handle(struct request *r)
{
    const char *status = form_get(&r->form, "CallStatus");
    char token[TOKEN_SIZE];
    int64_t ttl_ms = r->w->config.token_ttl_seconds * 1000 + PAUSE_MAX_MS;
    struct question q;
    if (status_terminal(status)) { /* the caller has hung up; the carrier asks all the same */
        nothing_more(r, status);
        return;
    }
    token_mint(token, r->w->config.stream_secret, r->call_sid, r->n + 1, clock_wall_ms() + ttl_ms);
    if (!*token) {
        request_refuse(r, NO_MEMORY); /* the carrier asks again */
        return;
    }
    question_init(&q, REDIS_FUNCTION("rf_after"));
    question_key(&q, r->w, KEY_SESSION, r->call_sid);
    question_key(&q, r->w, KEY_LIVE, r->call_sid);
    question_arg(&q, r->call_sid);
    question_number(&q, r->n + 1);
    question_arg(&q, token);
    question_number(&q, warmer_lease_ms(r->w));
    question_number(&q, ttl_ms);
    if (ask(r->w, &q, on_reply, r) != 0)
        on_reply(NULL, r);
}
