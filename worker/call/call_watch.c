#include "worker/call/call_watch.h"

#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/answers.h"
#include "worker/call/media.h"
#include "worker/call/retell.h"

enum { DIGITS_PAUSE_MS = 1500 }; /* after the last key, before the AI is told */

#define NUDGE_HINT "The caller has been silent for a while. Ask in a few words whether they are still there."
#define SILENCE_HINT "The caller does not answer. Say a short goodbye; the call ends after it."
#define WARN_HINT "The call reaches its time limit soon. Tell the caller so in one sentence, and go on."
#define LIMIT_HINT "The call has reached its limit. Say a short goodbye now; the call ends after it."

static void part_with_words(struct call *c, enum call_reason why, const char *hint)
{
    log_info(c->sid, "saying goodbye", log_str("why", why == REASON_SILENCE ? "silence" : "time_limit"));
    call_part(c, why);
    answers_ask(c, hint);
}

static void follow(struct call *c, enum watch_advice advice)
{
    switch (advice) {
    case WATCH_NOTHING:
        break;
    case WATCH_NUDGE:
        metric_add(&c->w->metrics.nudges, 1);
        answers_ask(c, NUDGE_HINT);
        break;
    case WATCH_WARN:
        answers_ask(c, WARN_HINT);
        break;
    case WATCH_GIVE_UP:
        part_with_words(c, REASON_SILENCE, SILENCE_HINT);
        break;
    case WATCH_LIMIT:
        part_with_words(c, REASON_TIME_LIMIT, LIMIT_HINT);
        break;
    case WATCH_DEAD_LINE:
        call_end(c, REASON_CARRIER_LOST, "no audio from the carrier");
        break;
    }
}

/* Told as words of the caller, which is what they are in a conversation without a menu. */
static void tell_digits(struct call *c)
{
    char text[64], id[AI_ID_SIZE];
    snprintf(text, sizeof text, "[keypad] %s", c->digits);
    snprintf(id, sizeof id, "keys_%d", c->digits_told++);
    c->digits[0] = '\0';
    retell_keys(c, id, text);
    answers_ask(c, NULL);
}

void call_watch_digit(struct call *c, char digit)
{
    size_t n = strlen(c->digits);
    metric_add(&c->w->metrics.dtmf, 1);
    watch_caller(&c->watch);
    if (n < DIGITS_MAX) {
        c->digits[n] = digit;
        c->digits[n + 1] = '\0';
    }
    c->digits_ms = clock_mono_ms();
    if (digit == '#' && c->state == CALL_TALKING)
        tell_digits(c);
}

void call_watch_look(struct call *c)
{
    int64_t now = clock_mono_ms();
    const struct worker_config *config = c->w->config;
    struct watch_limits limits = {.nudge_ms = config->silence_nudge_seconds * 1000,
                                  .give_up_ms = config->silence_hangup_seconds * 1000,
                                  .call_ms = config->max_call_seconds * 1000};
    /* A caller who presses keys is not silent, though the AI does not know of them yet. */
    watch_sound(&c->watch, c->speaking || *c->digits || !call_silent(c) || c->tools, now);
    if (*c->digits && c->state == CALL_TALKING && now - c->digits_ms >= DIGITS_PAUSE_MS)
        tell_digits(c);
    media_fill_pause(c, now);
    follow(c, watch_look(&c->watch, &limits, now));
}
