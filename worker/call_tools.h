/* Carrying out what the AI asks for: Redis and the journal only, never a database. */
#pragma once
#include "worker/call.h"

/* Runs a tool call; its output goes back to the AI when it is known, at once or after a Redis
 * round trip. */
void call_tools_run(struct call *c, const struct ai_event *ev);

/* Forgets the tools under way. */
void call_tools_release(struct call *c);
