/* POST /voice/status: the carrier says what became of a call. It is confirmed only once Redis has it:
 * the carrier's own retry is the way back from an outage. */
#include "warmer/status.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "common/redis/journal.h"
#include "warmer/ask.h"
#include "warmer/server.h"

enum { WORD_MAX = 32, DIGITS_MAX = 9 };

bool status_terminal(const char *status)
{
    static const char *const terminal[] = {"completed", "busy", "failed", "no-answer", "canceled"};
    for (size_t i = 0; i < ARRAY_LEN(terminal); i++) {
        if (strcmp(status, terminal[i]) == 0)
            return true;
    }
    return false;
}

static bool is_word(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz-");
    return len > 0 && len <= WORD_MAX && text[len] == '\0';
}

static bool is_number(const char *text)
{
    size_t len = strspn(text, "0123456789");
    return len > 0 && len <= DIGITS_MAX && text[len] == '\0';
}

/* A callback without a number is the only one of its call (Twilio counts from 0). */
static const char *sequence_of(const struct request *r)
{
    const char *sequence = form_get(&r->form, "SequenceNumber");
    return *sequence ? sequence : "0";
}

/* ADDED | DUPLICATE */
static void on_reply(const redisReply *reply, void *arg)
{
    struct request *r = arg;
    const char *word = redis_word(reply), *status = form_get(&r->form, "CallStatus");
    bool added = strcmp(word, "ADDED") == 0, duplicate = strcmp(word, "DUPLICATE") == 0;
    if (added) {
        metric_add(&r->w->metrics.status_added, 1);
        log_info(r->call_sid, "call status", log_str("status", status), log_str("sequence", sequence_of(r)));
    } else if (duplicate) {
        metric_add(&r->w->metrics.status_duplicate, 1);
        log_debug(r->call_sid, "call status again", log_str("status", status));
    } else {
        metric_add(&r->w->metrics.status_failed, 1);
        log_error(r->call_sid, "call status not kept", log_str("status", status));
    }
    request_answer_status(r, added || duplicate ? 204 : 503);
}

/* "status:<sequence>:<status>", by which a callback that comes again is known. */
static void put_id(char out[WORD_MAX + DIGITS_MAX + 16], const char *sequence, const char *status)
{
    strcpy(stpcpy(stpcpy(stpcpy(out, "status:"), sequence), ":"), status);
}

void status_handle(struct request *r)
{
    const char *status = form_get(&r->form, "CallStatus"), *sequence = sequence_of(r);
    const char *duration = form_get(&r->form, "CallDuration");
    const struct journal_type_row *type = &journal_types[JOURNAL_CALL_STATUS];
    char id[WORD_MAX + DIGITS_MAX + 16];
    struct question q;
    if (!is_word(status) || !is_number(sequence) || (*duration && !is_number(duration))) {
        metric_add(&r->w->metrics.malformed, 1);
        request_answer_status(r, 400);
        return;
    }
    put_id(id, sequence, status);
    question_init(&q, "rf_event");
    question_key(&q, r->w, KEY_SESSION, r->call_sid);
    question_key(&q, r->w, KEY_EVENTS, r->call_sid);
    question_key(&q, r->w, KEY_LIVE, r->call_sid);
    question_key(&q, r->w, KEY_ENDED, r->call_sid);
    question_arg(&q, r->call_sid);
    question_arg(&q, id);
    question_arg(&q, status_terminal(status) ? "1" : "0");
    question_arg(&q, status);
    question_arg(&q, sequence);
    question_arg(&q, "type");
    question_arg(&q, type->name);
    question_arg(&q, "by");
    question_arg(&q, "warmer");
    question_arg(&q, type->fields[0]);
    question_arg(&q, status);
    question_arg(&q, type->fields[1]);
    question_arg(&q, duration);
    question_arg(&q, type->fields[2]);
    question_arg(&q, sequence);
    if (ask(r->w, &q, on_reply, r) != 0)
        on_reply(NULL, r);
}
