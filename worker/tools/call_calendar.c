/* check_availability and book_appointment: the business's calendar as the context has it, less what
 * other live calls hold in Redis. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/functions.h"
#include "worker/tools/tool_run.h"

enum {
    SLOTS_TOLD_MAX = 12,
    PIECES_MAX = 600, /* keys of one command; an appointment of a day has 289 */
};

/* A held time outlives the call and its flush by far; after that Postgres knows it. */
#define SLOT_HOLD_SECONDS "86400"

/* A command with many keys. */
struct command {
    int argc, keys;
    const char *argv[PIECES_MAX + 8];
    char key[PIECES_MAX][KEY_SIZE];
};

static struct span pieces_of(struct span time)
{
    return (struct span){time.from / SLOT_SECONDS * SLOT_SECONDS,
                         (time.to + SLOT_SECONDS - 1) / SLOT_SECONDS * SLOT_SECONDS};
}

static size_t piece_count(int64_t length_s)
{
    return (size_t)(length_s + 2 * SLOT_SECONDS - 1) / SLOT_SECONDS; /* wherever it begins */
}

static bool add_pieces(struct command *cmd, const struct call *c, struct span time)
{
    struct span pieces = pieces_of(time);
    for (int64_t at = pieces.from; at < pieces.to; at += SLOT_SECONDS) {
        if (cmd->keys == PIECES_MAX || !key_slot(cmd->key[cmd->keys], &c->w->keys, c->claim.context.business_id, at))
            return false;
        cmd->argv[cmd->argc++] = cmd->key[cmd->keys++];
    }
    return true;
}

/* A context without a business (nothing could be loaded in time) has no calendar; nor has one whose booked times could not
 * be had: all would seem to be free. */
static struct calendar *calendar_of(struct tool_run *run)
{
    const struct context *ctx = &run->call->claim.context;
    const char *why = "the context has no business";
    struct calendar *cal = NULL;
    if (*ctx->booked_slots_missing && !*ctx->booked_slots)
        why = "the booked times could not be loaded";
    else if (*ctx->business_id)
        cal = calendar_new(ctx->business_timezone, ctx->working_hours, ctx->booked_slots, &why);
    if (!cal)
        log_error(run->call->sid, "calendar not usable", log_str("why", why));
    return cal;
}

/* ---- check_availability ---- */

static bool free_in_redis(const redisReply *reply, size_t from, size_t count)
{
    for (size_t i = from; i < from + count; i++) {
        if (i >= reply->elements || reply->element[i]->type != REDIS_REPLY_NIL)
            return false;
    }
    return true;
}

/* As many as one command has room for. */
static size_t candidates_max(const struct tool_run *run)
{
    size_t most = PIECES_MAX / piece_count(run->request.length_s);
    return most < TOOL_CANDIDATES_MAX ? most : TOOL_CANDIDATES_MAX;
}

static json_t *free_slots(const struct tool_run *run, const redisReply *reply)
{
    json_t *slots = json_array();
    bool more = run->start_count == candidates_max(run);
    size_t key = 0;
    for (size_t i = 0; i < run->start_count; i++) {
        struct span pieces = pieces_of((struct span){run->starts[i], run->starts[i] + run->request.length_s});
        size_t count = (size_t)(pieces.to - pieces.from) / SLOT_SECONDS;
        char text[CALENDAR_TIME_SIZE];
        if (free_in_redis(reply, key, count)) {
            if (json_array_size(slots) == SLOTS_TOLD_MAX) {
                more = true;
                break;
            }
            calendar_format(run->calendar, text, run->starts[i]);
            json_array_append_new(slots, json_string(text));
        }
        key += count;
    }
    return json_pack("{s:b, s:o, s:b}", "ok", 1, "free_starts", slots, "more_later", more);
}

static void on_looked(void *owner, const redisReply *reply)
{
    struct tool_run *run = owner;
    run->ticket = NULL;
    if (reply && reply->type == REDIS_REPLY_ARRAY)
        tool_run_answer(run, free_slots(run, reply));
    else
        tool_run_error(run, CALENDAR_AWAY);
}

/* One MGET of all pieces of all candidates. */
static bool look(struct tool_run *run)
{
    struct command *cmd = calloc(1, sizeof *cmd);
    bool fits = cmd != NULL;
    if (cmd)
        cmd->argv[cmd->argc++] = "MGET";
    for (size_t i = 0; fits && i < run->start_count; i++)
        fits = add_pieces(cmd, run->call, (struct span){run->starts[i], run->starts[i] + run->request.length_s});
    if (fits)
        run->ticket = ticket_send(run->call->w, on_looked, run, cmd->argc, cmd->argv);
    free(cmd);
    return run->ticket != NULL;
}

void calendar_check_availability(struct tool_run *run)
{
    struct tool_request *r = &run->request;
    int64_t now = clock_wall_ms() / 1000;
    run->calendar = calendar_of(run);
    if (!run->calendar) {
        tool_run_error(run, CALENDAR_AWAY);
        return;
    }
    if (*r->date && !calendar_day(run->calendar, r->date, &r->time)) {
        tool_run_error(run, "date must be a day such as 2026-11-24");
        return;
    }
    if (r->time.to <= now) {
        tool_run_error(run, "that time has passed: ask for a later one");
        return;
    }
    if (r->time.from < now)
        r->time.from = now;
    run->start_count = calendar_free_starts(run->calendar, r->time, r->length_s, run->starts, candidates_max(run));
    if (run->start_count == 0)
        tool_run_answer(run, json_pack("{s:b, s:[], s:b}", "ok", 1, "free_starts", "more_later", 0));
    else if (!look(run))
        tool_run_error(run, CALENDAR_AWAY);
}

/* ---- book_appointment ---- */

/* Sends FCALL function keys sid [more]. */
static struct ticket *call_function(struct tool_run *run, const char *function, const char *more, ticket_fn *fn)
{
    struct command *cmd = calloc(1, sizeof *cmd);
    struct ticket *ticket = NULL;
    char count[16];
    if (cmd) {
        cmd->argv[cmd->argc++] = "FCALL";
        cmd->argv[cmd->argc++] = function;
        cmd->argv[cmd->argc++] = count;
    }
    if (cmd && add_pieces(cmd, run->call, run->request.time)) {
        snprintf(count, sizeof count, "%d", cmd->keys);
        cmd->argv[cmd->argc++] = run->call->sid;
        if (more)
            cmd->argv[cmd->argc++] = more;
        ticket = ticket_send(run->call->w, fn, run, cmd->argc, cmd->argv);
    }
    free(cmd);
    return ticket;
}

static void tell_booked(struct tool_run *run)
{
    char starts_at[CALENDAR_TIME_SIZE], ends_at[CALENDAR_TIME_SIZE];
    calendar_format(run->calendar, starts_at, run->request.time.from);
    calendar_format(run->calendar, ends_at, run->request.time.to);
    tool_run_answer_kept(run, json_pack("{s:b, s:s, s:s}", "ok", 1, "starts_at", starts_at, "ends_at", ends_at));
}

static bool journal_appointment(struct tool_run *run)
{
    struct call *c = run->call;
    const struct tool_request *r = &run->request;
    char starts_at[CALENDAR_TIME_SIZE], ends_at[CALENDAR_TIME_SIZE];
    const char *const values[] = {c->claim.context.business_id, c->claim.context.lead_id, starts_at, ends_at, r->title,
                                  r->notes};
    iso_time_format(starts_at, r->time.from);
    iso_time_format(ends_at, r->time.to);
    log_info(c->sid, "appointment held", log_str("starts_at", starts_at));
    return journal_append(&c->journal, JOURNAL_APPOINTMENT_CREATE, values);
}

/* The call is over before the caller was told: the time is free again. On the same connection this comes
 * after the hold; nobody waits for its answer, and if it is lost the hold ends by itself. Who is fenced
 * leaves it to the worker that has the call now. */
static void abandon_hold(struct tool_run *run)
{
    if (!run->call->journal.fenced)
        ticket_drop(call_function(run, REDIS_FUNCTION("rf_release"), NULL, NULL));
}

/* From here on it is the journal's: the hold stays, also if the call ends before the caller is told. */
static void book(struct tool_run *run)
{
    struct call *c = run->call;
    if (!journal_appointment(run)) {
        abandon_hold(run);
        tool_run_error(run, CALENDAR_AWAY);
        return;
    }
    metric_add(&c->w->metrics.appointments_held, 1);
    claim_add_booking(&c->claim, run->request.time);
    run->abandon = NULL;
    tell_booked(run);
}

static void on_held(void *owner, const redisReply *reply)
{
    struct tool_run *run = owner;
    struct call *c = run->call;
    const char *word = redis_word(reply);
    run->ticket = NULL;
    if (strcmp(word, "HELD") == 0) {
        book(run);
    } else if (strcmp(word, "TAKEN") == 0) {
        metric_add(&c->w->metrics.appointments_taken, 1);
        tool_run_error(run, "that time has just been taken: offer another one");
    } else { /* held or not: asking again finds out */
        tool_run_error(run, CALENDAR_AWAY);
    }
}

/* What this very call has booked, or is booking. *same: it is exactly this time. */
static bool booked_here(const struct tool_run *run, bool *same)
{
    const struct claim *claim = &run->call->claim;
    struct span time = run->request.time;
    for (int i = 0; i < claim->booking_count; i++) {
        *same = claim->bookings[i].from == time.from && claim->bookings[i].to == time.to;
        if (spans_overlap(claim->bookings[i], time))
            return true;
    }
    *same = false;
    for (const struct tool_run *other = run->call->tools; other; other = other->next) {
        if (other != run && other->abandon && spans_overlap(other->request.time, time))
            return true;
    }
    return false;
}

static const char *problem(const struct tool_run *run)
{
    struct span time = run->request.time;
    if (time.from <= clock_wall_ms() / 1000)
        return "that time has passed: ask for a later one";
    if (!calendar_open(run->calendar, time))
        return "that is outside of the working hours: look up free times with check_availability";
    if (calendar_taken(run->calendar, time))
        return "that time is taken: offer another one";
    if (run->call->claim.booking_count == CLAIM_BOOKINGS_MAX)
        return "this call has booked as many appointments as one call may";
    return NULL;
}

void calendar_book_appointment(struct tool_run *run)
{
    bool same = false;
    const char *wrong;
    run->calendar = calendar_of(run);
    if (!run->calendar) {
        tool_run_error(run, CALENDAR_AWAY);
    } else if (booked_here(run, &same)) {
        if (same)
            tell_booked(run);
        else
            tool_run_error(run, "this call has an appointment at that time already");
    } else if ((wrong = problem(run))) {
        tool_run_error(run, wrong);
    } else if ((run->ticket = call_function(run, REDIS_FUNCTION("rf_hold"), SLOT_HOLD_SECONDS, on_held))) {
        run->abandon = abandon_hold;
    } else {
        tool_run_error(run, CALENDAR_AWAY);
    }
}
