/* Turns, barge-in and answers: what the AI session's events do to a call that is talking. */
#pragma once
#include "worker/call.h"

/* Any event of the session while greeting, talking or parting. */
void conversation_on_ai(struct call *c, const struct ai_event *ev);

/* The carrier has played everything before a mark. */
void conversation_on_played(struct call *c, const char *mark);

/* Asks the AI to speak: at once, or when the answer under way is done. instructions may be NULL. */
void conversation_answer(struct call *c, const char *instructions);

/* Sends what an encoder made, and frees it; NULL (out of memory) is skipped and logged. */
void conversation_send(struct call *c, char *text);

/* Journals the turns that are complete; all of them (as far as they were heard) when the call is
 * over. */
void conversation_journal_turns(struct call *c, bool all);
