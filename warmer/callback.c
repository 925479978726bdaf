#include "warmer/callback.h"

#include <string.h>

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/status.h"

enum { DIGITS_MAX = 9 };

bool callback_is_number(const char *text)
{
    size_t len = strspn(text, "0123456789");
    return len > 0 && len <= DIGITS_MAX && text[len] == '\0';
}

/* ADDED | DUPLICATE */
static void on_reply(const redisReply *reply, void *arg)
{
    struct request *r = arg;
    const char *word = redis_word(reply), *type = journal_types[r->event].name;
    bool added = strcmp(word, "ADDED") == 0, duplicate = strcmp(word, "DUPLICATE") == 0;
    if (added) {
        metric_add(&r->w->metrics.events_added, 1);
    } else if (duplicate) {
        metric_add(&r->w->metrics.events_duplicate, 1);
        log_debug(r->call_sid, "carrier event again", log_str("type", type));
    } else {
        metric_add(&r->w->metrics.events_failed, 1);
        log_error(r->call_sid, "carrier event not kept", log_str("type", type));
    }
    request_answer_status(r, added || duplicate ? 204 : 503);
}

void callback_record(struct request *r, const struct callback *callback)
{
    const struct journal_type_row *type = &journal_types[callback->type];
    struct question q;
    r->event = callback->type;
    question_init(&q, REDIS_FUNCTION("rf_event"));
    question_key(&q, r->w, KEY_SESSION, r->call_sid);
    question_key(&q, r->w, KEY_EVENTS, r->call_sid);
    question_key(&q, r->w, KEY_LIVE, r->call_sid);
    question_key(&q, r->w, KEY_ENDED, r->call_sid);
    question_arg(&q, r->call_sid);
    question_arg(&q, callback->id);
    question_arg(&q, status_terminal(callback->status) ? "1" : "0");
    question_arg(&q, callback->status);
    question_arg(&q, callback->sequence);
    question_entry(&q, type, callback->values, (size_t)type->field_count);
    if (ask(r->w, &q, on_reply, r) != 0)
        on_reply(NULL, r);
}
