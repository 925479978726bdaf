#include "worker/call_tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/conversation.h"
#include "worker/tools.h"

/* A held slot outlives the call and its flush by far; after that Postgres knows it. */
#define SLOT_HOLD_SECONDS "86400"

/* A tool that waits for Redis. */
struct tool_run {
    struct tool_run *next;
    struct call *call;
    struct ticket *ticket;
    char tool_id[AI_ID_SIZE];
    struct tool_request request;
};

static void answer(struct call *c, const char *tool_id, json_t *output)
{
    char *text = output ? json_dumps(output, JSON_COMPACT) : NULL;
    conversation_send(c, text ? c->w->provider->tool_output(tool_id, text) : NULL);
    free(text);
    json_decref(output);
    conversation_answer(c, NULL);
}

static void answer_ok(struct call *c, const char *tool_id)
{
    answer(c, tool_id, json_pack("{s:b}", "ok", 1));
}

static void answer_error(struct call *c, const char *tool_id, const char *error)
{
    answer(c, tool_id, json_pack("{s:b, s:s}", "ok", 0, "error", error));
}

static void set_customer_name(struct call *c, const char *tool_id, const struct tool_request *request)
{
    const char *const values[] = {c->claim.context.lead_id, "full_name", request->name};
    journal_append(&c->journal, JOURNAL_LEAD_UPDATE, values);
    log_info(c->sid, "customer name set", log_name("name", request->name));
    answer_ok(c, tool_id);
}

static void unlink_run(struct tool_run *run)
{
    struct tool_run **at = &run->call->tools;
    while (*at != run)
        at = &(*at)->next;
    *at = run->next;
}

/* SET NX GET answers nil when the slot is ours now, else who holds it: us, if the answer to an
 * earlier try was lost. */
static void on_slot(void *owner, const redisReply *reply)
{
    struct tool_run *run = owner;
    struct call *c = run->call;
    const struct tool_request *r = &run->request;
    const char *const values[] = {c->claim.context.business_id, c->claim.context.lead_id, r->starts_at, r->ends_at,
                                  r->title, r->notes};
    bool ours = reply && (reply->type == REDIS_REPLY_NIL ||
                          (reply->type == REDIS_REPLY_STRING && strcmp(reply->str, c->sid) == 0));
    unlink_run(run);
    if (ours) {
        journal_append(&c->journal, JOURNAL_APPOINTMENT_CREATE, values);
        log_info(c->sid, "appointment held", log_str("starts_at", r->starts_at));
        answer(c, run->tool_id, json_pack("{s:b, s:s, s:s}", "ok", 1, "starts_at", r->starts_at, "ends_at", r->ends_at));
    } else if (reply && reply->type == REDIS_REPLY_STRING) {
        answer_error(c, run->tool_id, "that time has just been taken: offer another one");
    } else {
        answer_error(c, run->tool_id, "the calendar cannot be reached: take the wish down and promise a call back");
    }
    free(run);
}

static void book_appointment(struct call *c, const char *tool_id, const struct tool_request *request)
{
    char key[KEY_SIZE];
    const char *argv[] = {"SET", key, c->sid, "NX", "EX", SLOT_HOLD_SECONDS, "GET"};
    struct tool_run *run;
    if (slots_overlap(c->claim.context.booked_slots, request->starts_s, request->ends_s)) {
        answer_error(c, tool_id, "that time is taken: offer another one");
        return;
    }
    run = calloc(1, sizeof *run);
    if (run && key_global(key, &c->w->keys, "slot", c->claim.context.business_id, request->starts_at))
        run->ticket = ticket_send(c->w, on_slot, run, (int)ARRAY_LEN(argv), argv);
    if (!run || !run->ticket) {
        free(run);
        answer_error(c, tool_id, "the calendar cannot be reached: take the wish down and promise a call back");
        return;
    }
    run->call = c;
    run->request = *request;
    snprintf(run->tool_id, sizeof run->tool_id, "%s", tool_id);
    run->next = c->tools;
    c->tools = run;
}

void call_tools_run(struct call *c, const struct ai_event *ev)
{
    struct tool_request request;
    const char *wrong = tool_parse(ev->tool_name, ev->text, &request);
    if (wrong) {
        log_warn(c->sid, "tool call refused", log_str("tool", ev->tool_name), log_str("why", wrong));
        answer_error(c, ev->tool_id, wrong);
        return;
    }
    switch (request.tool) {
    case TOOL_SET_CUSTOMER_NAME:
        set_customer_name(c, ev->tool_id, &request);
        break;
    case TOOL_BOOK_APPOINTMENT:
        book_appointment(c, ev->tool_id, &request);
        break;
    case TOOL_END_CALL:
        call_part(c, REASON_AGENT_HANGUP);
        break;
    case TOOL_NONE:
        break;
    }
}

void call_tools_release(struct call *c)
{
    while (c->tools) {
        struct tool_run *run = c->tools;
        c->tools = run->next;
        ticket_drop(run->ticket);
        free(run);
    }
}
