#include "warmer/unrecorded.h"

#include "common/base/log.h"
#include "common/redis/functions.h"
#include "common/redis/journal.h"
#include "warmer/ask.h"

static void on_reply(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.events_failed, 1);
}

void unrecorded_note(struct warmer *w, const char *call_sid, const char *from, const char *to, const char *direction,
                     int64_t started_ms)
{
    const struct journal_type_row *type = &journal_types[JOURNAL_CALL_OPEN];
    const char *const values[] = {from, to, direction};
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_event"));
    question_key(&q, w, KEY_SESSION, call_sid);
    question_key(&q, w, KEY_EVENTS, call_sid);
    question_key(&q, w, KEY_LIVE, call_sid);
    question_key(&q, w, KEY_ENDED, call_sid);
    question_arg(&q, call_sid);
    question_arg(&q, "open");
    question_arg(&q, "0");
    question_arg(&q, "");
    question_arg(&q, "");
    question_entry(&q, type, values, ARRAY_LEN(values));
    question_arg(&q, type->fields[3]);
    question_number(&q, started_ms);
    if (ask(w, &q, on_reply, w) != 0)
        log_error(call_sid, "call not recorded", log_str("why", "neither Postgres nor Redis took it"));
}
