/* One tool call of the AI under way, from its request to its one answer. */
#pragma once
#include <jansson.h>

#include "common/http/client.h"
#include "worker/call/call.h"
#include "worker/tools/own_tools.h"
#include "worker/tools/tools.h"

enum {
    TOOL_RUNS_MAX = 8,       /* of one call, at the same time */
    TOOL_CANDIDATES_MAX = 24 /* free times that are checked against other live calls */
};

struct tool_run {
    struct tool_run *next; /* the call's list */
    struct call *call;
    char id[AI_ID_SIZE], name[AI_ID_SIZE];
    bool orphan; /* the session that asked is gone */
    int64_t started_ms;
    struct tool_request request;
    bool awaits_context;                       /* the booked times are still to come */
    struct ticket *ticket;                     /* waits for Redis */
    struct http_request *http;                 /* waits for the business's own system */
    void (*abandon)(struct tool_run *run);     /* the call ended meanwhile; NULL: nothing to undo */
    json_t *done;                              /* the answer, once what it tells of is in Redis; NULL: not that far */
    uint64_t written;                          /* the journal's entries it tells of */
    struct calendar *calendar;                 /* check_availability */
    int64_t starts[TOOL_CANDIDATES_MAX];
    size_t start_count;
};

/* Each of these gives the answer and frees the run; the AI is asked to go on once no other tool is under
 * way. tool_run_answer takes the reference; output NULL means out of memory. */
void tool_run_answer(struct tool_run *run, json_t *output);
/* The answer is given once all that was appended to the journal so far is in Redis: what a caller is told has
 * happened must survive this worker. Takes the reference. */
void tool_run_answer_kept(struct tool_run *run, json_t *output);
/* A sentence for the AI: what is wrong, and what to do or say. */
void tool_run_error(struct tool_run *run, const char *sentence);

/* Frees it without an answer. */
void tool_run_free(struct tool_run *run);

/* ---- the tools that take time ---- */

#define CALENDAR_AWAY "the calendar cannot be reached: take the wish down with take_message and promise a call back"

/* call_calendar.c: once the booked times are there, or it is known that they will not be. */
void calendar_check_availability(struct tool_run *run);
void calendar_book_appointment(struct tool_run *run);

/* call_web.c: sends the business's own tool. */
void web_run(struct tool_run *run, const struct own_tool *tool, const char *arguments);
