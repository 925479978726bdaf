/* The one queue of answers that the AI is asked for: two at once it would refuse. */
#pragma once
#include "worker/call/call.h"

/* Asks the AI to speak: at once, or when the answer under way is done and the caller's words are over; those
 * are answered without being asked about. instructions may be NULL; then
 * nothing is asked for in a call that is parting, or of an agent. */
void answers_ask(struct call *c, const char *instructions);

/* Asks the AI to speak to what its tools have answered, once all of them have. */
void answers_to_tools(struct call *c);

/* One has begun: ours, or the one to the caller's words. */
void answers_begun(struct call *c, const char *response);

/* The answer that was asked for was not given: it is wanted again. */
void answers_again(struct call *c);

/* Asks for what is wanted, unless an answer is under way or the time has not come. */
void answers_next(struct call *c);

/* The provider could not answer: it is asked once more, a moment later; then the call ends with
 * configured words, because silence is the one answer a caller must not get. */
void answers_failed(struct call *c, const struct ai_event *ev);

/* Somebody waits for the assistant to speak. */
bool answers_owed(const struct call *c);

/* No sign of the answer under way for too long: the session is as good as lost. */
bool answers_overdue(const struct call *c, int64_t now_ms);

/* No answer is under way or wanted any more: the session is gone, or the call is parting. */
void answers_forget(struct call *c);

/* ---- of agents, which speak without being asked and do not say when they have finished ---- */

/* One is about to speak. */
void answers_expect(struct call *c);

/* What is left of its answer comes soon, or there is nothing left. */
void answers_go_on(struct call *c);

/* Its answer must be taken for complete. */
bool answers_over(const struct call *c);
