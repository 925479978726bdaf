/* What the AI asks for with a tool: Redis, the journal and the businesses' own systems, never a
 * database. tool_run.h is for the files that carry the tools out. */
#pragma once
#include "worker/call/call.h"

/* The "tools" array of this call's sessions. New reference; NULL when out of memory. */
json_t *call_tools_describe(const struct call *c);

/* Runs a tool call; its one output goes back to the AI when it is known, at once or later. A call_id
 * that was seen before is left alone: providers repeat themselves. */
void call_tools_run(struct call *c, const struct ai_event *ev);

/* The journal has kept what somebody waited for. */
void call_tools_kept(struct call *c);

/* The full context has come: so have the booked times that somebody waited for. */
void call_tools_context(struct call *c);

/* Once a second: answers that wait for Redis, or for the booked times, do not wait for ever. */
void call_tools_look(struct call *c);

/* The AI session is gone. What is under way goes on; the next session is told the outcome in words. */
void call_tools_session_lost(struct call *c);

/* Cancels the tools under way; a time that was asked for and not yet given to the caller is free again. */
void call_tools_release(struct call *c);
