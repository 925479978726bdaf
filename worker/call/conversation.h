/* Turns and barge-in: what the AI session's events do to a call that is talking. */
#pragma once
#include "worker/call/call.h"

/* Any event of the session while greeting, talking or parting. */
void conversation_on_ai(struct call *c, const struct ai_event *ev);

/* The carrier has played everything before a mark. */
void conversation_on_played(struct call *c, const char *mark);

/* The session is gone: turns that wait for it wait no more. */
void conversation_session_lost(struct call *c);

/* The caller has hung up: what was heard by now is all. */
void conversation_hung_up(struct call *c);

/* Once a second: what waits for time to pass (late words, a second try for a failed answer). */
void conversation_tick(struct call *c);
