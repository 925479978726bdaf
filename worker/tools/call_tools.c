#include "worker/tools/call_tools.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/call/ai_leg.h"
#include "worker/call/answers.h"
#include "worker/call/late_context.h"
#include "worker/call/transfer.h"
#include "worker/tools/tool_run.h"

/* Redis answers in a millisecond. When it is away the conversation must not wait for it. */
enum { KEPT_WAIT_MS = 2500 };

#define UNCERTAIN "it is noted but not confirmed yet: tell the caller that it will be taken care of, and go on"
#define NOT_WRITTEN "it could not be written down: tell the caller so, and that they may have to say it again"

json_t *call_tools_describe(const struct call *c)
{
    const struct context *ctx = &c->claim.context;
    json_t *places = transfer_places(ctx->transfer_number, ctx->transfer_numbers);
    json_t *tools = tools_describe(places);
    own_tools_describe(c->sid, ctx->tools, tools);
    json_decref(places);
    return tools;
}

/* ---- a run and its answer ---- */

static struct tool_run *run_new(struct call *c, const struct ai_event *ev)
{
    struct tool_run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->call = c;
    run->started_ms = clock_mono_ms();
    snprintf(run->id, sizeof run->id, "%s", ev->tool_id);
    snprintf(run->name, sizeof run->name, "%s", ev->tool_name);
    run->next = c->tools;
    c->tools = run;
    return run;
}

void tool_run_free(struct tool_run *run)
{
    struct tool_run **at = &run->call->tools;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
    ticket_drop(run->ticket);
    http_cancel(run->http);
    json_decref(run->done);
    calendar_free(run->calendar);
    free(run);
}

static bool talking(const struct call *c)
{
    return c->state == CALL_GREETING || c->state == CALL_TALKING;
}

/* FNV-1a: enough to tell the ids of one provider apart. */
static uint64_t hash_of(const char *id)
{
    uint64_t hash = 14695981039346656037u;
    for (; *id; id++)
        hash = (hash ^ (uint8_t)*id) * 1099511628211u;
    return hash;
}

/* The session that asked is gone, and another one would not know the call_id: it is told in words. */
static void tell_next_session(struct tool_run *run, const char *output)
{
    struct call *c = run->call;
    size_t size = strlen(output) + sizeof run->name + 64;
    char *text = malloc(size), id[32];
    if (!text)
        return;
    snprintf(text, size, "The tool %s, asked for before you were cut off, has answered: %s", run->name, output);
    snprintf(id, sizeof id, "tool_%016" PRIx64, hash_of(run->id));
    if (!history_add(&c->claim.history, "system", text))
        log_error(c->sid, "out of memory for the call's history");
    if (talking(c))
        ai_leg_send(c, c->w->provider->past_turn(id, "system", text));
    free(text);
}

void tool_run_answer(struct tool_run *run, json_t *output)
{
    struct call *c = run->call;
    char *text = output ? json_dumps(output, JSON_COMPACT) : NULL;
    bool ok = json_is_true(json_object_get(output, "ok"));
    metric_add(ok ? &c->w->metrics.tools_done : &c->w->metrics.tools_failed, 1);
    log_info(c->sid, "tool answered", log_str("tool", run->name), log_str("result", ok ? "ok" : "error"),
             log_int("ms", clock_mono_ms() - run->started_ms));
    if (run->orphan)
        tell_next_session(run, text ? text : "out of memory");
    else
        ai_leg_send(c, text ? c->w->provider->tool_output(run->id, text) : NULL);
    free(text);
    json_decref(output);
    tool_run_free(run);
    if (talking(c))
        answers_to_tools(c);
}

void tool_run_answer_kept(struct tool_run *run, json_t *output)
{
    struct journal *j = &run->call->journal;
    run->written = j->given;
    if (!output || journal_has_kept(j, run->written)) {
        tool_run_answer(run, output);
        return;
    }
    run->done = output;
    journal_await(j);
}

void tool_run_error(struct tool_run *run, const char *sentence)
{
    tool_run_answer(run, json_pack("{s:b, s:s}", "ok", 0, "error", sentence));
}

static void give_answer(struct tool_run *run)
{
    json_t *output = run->done;
    run->done = NULL;
    tool_run_answer(run, output);
}

/* An answer may end the run of others too, so each look begins anew; there are few. */
static struct tool_run *written_run(const struct call *c)
{
    for (struct tool_run *run = c->tools; run; run = run->next) {
        if (run->done && journal_has_kept(&c->journal, run->written))
            return run;
    }
    return NULL;
}

void call_tools_kept(struct call *c)
{
    for (struct tool_run *run; (run = written_run(c));)
        give_answer(run);
}

void call_tools_look(struct call *c)
{
    int64_t since = clock_mono_ms() - KEPT_WAIT_MS;
    for (struct tool_run *run = c->tools, *next; run; run = next) {
        next = run->next;
        if (run->done && run->started_ms < since)
            tool_run_error(run, UNCERTAIN);
        else if (run->awaits_context && run->started_ms < since)
            tool_run_error(run, CALENDAR_AWAY);
    }
}

/* ---- the tools that need only the journal ---- */

static bool journal_lead(struct call *c, const char *field, const char *value)
{
    const char *const values[] = {c->claim.context.lead_id, field, value};
    return journal_append(&c->journal, JOURNAL_LEAD_UPDATE, values);
}

static void say_written(struct tool_run *run, bool accepted)
{
    if (accepted)
        tool_run_answer_kept(run, json_pack("{s:b}", "ok", 1));
    else
        tool_run_error(run, NOT_WRITTEN);
}

static void set_customer_name(struct tool_run *run)
{
    struct call *c = run->call;
    bool accepted = journal_lead(c, "full_name", run->request.name);
    log_info(c->sid, "customer name set", log_name("name", run->request.name));
    say_written(run, accepted);
}

static void update_customer(struct tool_run *run)
{
    bool accepted = true;
    if (*run->request.email)
        accepted = journal_lead(run->call, "email", run->request.email);
    if (*run->request.notes)
        accepted = journal_lead(run->call, "notes", run->request.notes) && accepted;
    say_written(run, accepted);
}

/* Kept twice: with the call, and where people look at the customer. */
static void take_message(struct tool_run *run)
{
    const struct tool_request *r = &run->request;
    char note[TOOL_LONG_SIZE + TOOL_TEXT_SIZE + 32];
    bool accepted;
    snprintf(note, sizeof note, *r->callback ? "Message: %s (call back: %s)" : "Message: %s", r->message, r->callback);
    accepted = journal_lead(run->call, "notes", note);
    accepted = journal_fact(&run->call->journal, json_pack("{s:{s:s, s:s}}", "message", "text", r->message,
                                                           "callback_number", r->callback)) && accepted;
    log_info(run->call->sid, "message taken");
    say_written(run, accepted);
}

/* No answer: the AI has said what it had to say. */
static void transfer_call(struct tool_run *run)
{
    struct call *c = run->call;
    const struct context *ctx = &c->claim.context;
    const struct tool_request *r = &run->request;
    char number[TRANSFER_NUMBER_SIZE];
    if (!talking(c)) {
        tool_run_error(run, "the call is ending already");
        return;
    }
    if (!transfer_pick(ctx->transfer_number, ctx->transfer_numbers, r->to, number)) {
        tool_run_error(run, "there is nobody by that name to transfer to: offer to take a message");
        return;
    }
    snprintf(c->transfer_to, sizeof c->transfer_to, "%s", number);
    journal_fact(&c->journal, json_pack("{s:{s:s, s:s}}", "transfer", "number", number, "reason", r->reason));
    log_info(c->sid, "transfer wanted", log_phone("number", number));
    metric_add(&c->w->metrics.tools_done, 1);
    tool_run_free(run);
    call_part(c, REASON_AGENT_TRANSFER);
}

static void end_call(struct tool_run *run)
{
    struct call *c = run->call;
    metric_add(&c->w->metrics.tools_done, 1);
    tool_run_free(run);
    call_part(c, REASON_AGENT_HANGUP);
}

/* ---- the calendar ---- */

static void use_calendar(struct tool_run *run)
{
    run->awaits_context = late_context_lacks_calendar(run->call);
    if (run->awaits_context)
        late_context_look(run->call);
    else if (run->request.tool == TOOL_CHECK_AVAILABILITY)
        calendar_check_availability(run);
    else
        calendar_book_appointment(run);
}

static struct tool_run *waiting_run(const struct call *c)
{
    for (struct tool_run *run = c->tools; run; run = run->next) {
        if (run->awaits_context)
            return run;
    }
    return NULL;
}

void call_tools_context(struct call *c)
{
    for (struct tool_run *run; (run = waiting_run(c));)
        use_calendar(run);
}

/* ---- which one ---- */

static void run_builtin(struct tool_run *run)
{
    switch (run->request.tool) {
    case TOOL_SET_CUSTOMER_NAME:
        set_customer_name(run);
        break;
    case TOOL_UPDATE_CUSTOMER:
        update_customer(run);
        break;
    case TOOL_CHECK_AVAILABILITY:
    case TOOL_BOOK_APPOINTMENT:
        use_calendar(run);
        break;
    case TOOL_TAKE_MESSAGE:
        take_message(run);
        break;
    case TOOL_TRANSFER_CALL:
        transfer_call(run);
        break;
    case TOOL_END_CALL:
        end_call(run);
        break;
    case TOOL_NONE:
        break;
    }
}

/* Most calls use a few tools, if any. */
static bool room_for_id(struct call *c)
{
    unsigned room = c->tool_ids.room ? c->tool_ids.room * 2 : TOOL_IDS_FEW;
    uint64_t *more;
    if (c->tool_ids.count < c->tool_ids.room || c->tool_ids.room == TOOL_IDS_MAX)
        return true;
    more = realloc(c->tool_ids.hashes, room * sizeof *more);
    if (!more)
        return false;
    c->tool_ids.hashes = more;
    c->tool_ids.room = room;
    return true;
}

static bool seen_before(struct call *c, const char *id)
{
    uint64_t hash = hash_of(id);
    unsigned known = c->tool_ids.count < TOOL_IDS_MAX ? c->tool_ids.count : TOOL_IDS_MAX;
    for (unsigned i = 0; i < known; i++) {
        if (c->tool_ids.hashes[i] == hash)
            return true;
    }
    if (room_for_id(c)) /* without memory a repeated call runs twice */
        c->tool_ids.hashes[c->tool_ids.count++ % TOOL_IDS_MAX] = hash;
    return false;
}

static int runs_under_way(const struct call *c)
{
    int count = 0;
    for (const struct tool_run *run = c->tools; run; run = run->next)
        count++;
    return count;
}

static void refuse(struct tool_run *run, const char *why)
{
    log_warn(run->call->sid, "tool call refused", log_str("tool", run->name), log_str("why", why));
    tool_run_error(run, why);
}

void call_tools_run(struct call *c, const struct ai_event *ev)
{
    struct own_tool own;
    struct tool_run *run;
    const char *wrong;
    if (seen_before(c, ev->tool_id)) {
        metric_add(&c->w->metrics.tools_repeated, 1);
        return;
    }
    run = run_new(c, ev);
    if (!run) {
        log_error(c->sid, "out of memory for a tool call");
    } else if (runs_under_way(c) > TOOL_RUNS_MAX) {
        refuse(run, "too many tools at once: wait for the others");
    } else if (tool_named(ev->tool_name) == TOOL_NONE && own_tool_find(c->claim.context.tools, ev->tool_name, &own)) {
        web_run(run, &own, ev->text);
        own_tool_release(&own);
    } else if ((wrong = tool_parse(ev->tool_name, ev->text, &run->request))) {
        refuse(run, wrong);
    } else {
        run_builtin(run);
    }
}

void call_tools_session_lost(struct call *c)
{
    for (struct tool_run *run = c->tools; run; run = run->next)
        run->orphan = true;
}

void call_tools_release(struct call *c)
{
    while (c->tools) {
        if (c->tools->abandon)
            c->tools->abandon(c->tools);
        tool_run_free(c->tools);
    }
}
