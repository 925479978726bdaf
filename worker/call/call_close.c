#include "worker/call/call_close.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include <event2/event.h>
#include <jansson.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/answers.h"
#include "worker/call/carrier_leg.h"
#include "worker/call/greeting.h"
#include "worker/tools/call_tools.h"

static const struct call_reason_row reasons[] = {
#define X(id, name, code, verdict) {name, code, verdict},
    CALL_REASONS(X)
#undef X
};

const struct call_reason_row *call_reason(enum call_reason why)
{
    return &reasons[why];
}

void call_close_journal(struct call *c)
{
    char metrics[384], verdict[48];
    if (c->reason == REASON_DRAINED) {
        journal_fact(&c->journal, json_pack("{s:s}", CLAIM_HANDED_OVER, c->left_idle ? CLAIM_IDLE : "busy"));
        journal_leave(&c->journal);
        return;
    }
    snprintf(verdict, sizeof verdict, "%s%s", reasons[c->reason].verdict,
             c->reason == REASON_AGENT_TRANSFER ? c->transfer_to : "");
    snprintf(metrics, sizeof metrics,
             "{\"seconds\":%.1f,\"turns\":%" PRId64 ",\"barge_ins\":%" PRId64 ",\"first_audio_ms\":%" PRId64
             ",\"worker\":\"%.128s\"}",
             (double)(clock_mono_ms() - c->started_ms) / 1e3, c->turn_count, c->barge_in_count, c->first_audio_ms,
             c->w->id);
    journal_end(&c->journal, reasons[c->reason].name, verdict, metrics);
}

static void release(void *arg)
{
    free(arg);
}

static void forget(struct call *c)
{
    struct worker *w = c->w;
    *(c->prev ? &c->prev->next : &w->calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    if (w->next_beat == c)
        w->next_beat = c->next;
    worker_call_over(w, c->placed);
    ticket_drop(c->claiming);
    ticket_drop(c->late.ticket);
    ticket_drop(c->machine_look.ticket);
    answers_forget(c);
    journal_release(&c->journal);
    call_tools_release(c);
    turns_release(&c->turns);
    playout_release(&c->playout);
    claim_release(&c->claim);
    greeting_release(c);
    tail_release(&c->tail);
    free(c->tool_ids.hashes);
    free(c->unsaid);
    free(c->reorder);
    worker_defer(w, &c->deferred, release, c);
}

void call_close(struct call *c)
{
    carrier_leg_close(c);
    log_info(c->sid, "call ended", log_str("reason", reasons[c->reason].name), log_int("turns", c->turn_count),
             log_real("seconds", c->started_ms ? (double)(clock_mono_ms() - c->started_ms) / 1e3 : 0));
    metric_add(&c->w->metrics.ended[c->reason], 1);
    forget(c);
}
