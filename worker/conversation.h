/* Turns, barge-in and answers: what the AI session's events do to a call that is talking. */
#pragma once
#include "worker/call.h"

/* Item of the greeting that plays from the cache. */
#define GREETING_ITEM "greeting"

/* Any event of the session while greeting, talking or parting. */
void conversation_on_ai(struct call *c, const struct ai_event *ev);

/* The carrier has played everything before a mark. */
void conversation_on_played(struct call *c, const char *mark);

/* Asks the AI to speak: at once, or when the answer under way is done. instructions may be NULL; then
 * nothing is asked for in a call that is parting. */
void conversation_answer(struct call *c, const char *instructions);

/* No answer is under way or wanted any more: the session is gone, or the call is parting. */
void conversation_forget_answers(struct call *c);

/* An agent is about to speak, without having been asked. */
void conversation_expect_answer(struct call *c);

/* Whether an agent's answer must be taken for complete: agents do not say. */
bool conversation_answer_over(const struct call *c);

/* The provider's own name for the conversation, for whoever looks for it there. */
void conversation_note_session(struct call *c, const char *id);

/* The caller said something without a voice (keys): a turn of the journal, told to the AI. */
void conversation_caller_wrote(struct call *c, const char *item, const char *text);

/* The greeting plays from the cache, so it is a turn that the AI did not make. */
void conversation_greeting_plays(struct call *c, const char *text);

/* The cached greeting was heard, or cut: the AI is told what the caller knows. */
void conversation_tell_greeting(struct call *c);

/* The session is gone: turns that wait for it wait no more. */
void conversation_session_lost(struct call *c);

/* A new session is told the turns so far, oldest first; also one that is still being heard. */
void conversation_retell(struct call *c);

/* Somebody waits for the assistant to speak. */
bool conversation_owes_answer(const struct call *c);

/* The caller has hung up: what was heard by now is all. */
void conversation_hung_up(struct call *c);

/* The caller said something that is not written down yet. */
bool conversation_words_to_come(const struct call *c);

/* Once a second: what waits for time to pass (late words, a second try for a failed answer). */
void conversation_tick(struct call *c);

/* Sends what an encoder made, and frees it; NULL (out of memory) is skipped and logged. */
void conversation_send(struct call *c, char *text);

/* Journals the turns that are complete; all of them (as far as they were heard) when the call is
 * over. */
void conversation_journal_turns(struct call *c, bool all);
