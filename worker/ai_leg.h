/* The AI's side of a call: opening a session, telling it what it must know, replacing a lost one. */
#pragma once
#include "worker/call.h"

/* Takes a session that stands open, and configures it; or dials: then CALL_EV_AI_OPEN follows. If
 * there is none to be had, CALL_EV_AI_LOST. */
void ai_leg_open(struct call *c);

/* The first thing a session hears: settings, prompt, and the turns so far. */
void ai_leg_configure(struct call *c);

/* The session is gone while the call goes on: what it knew is made ready for the next one. */
void ai_leg_lost(struct call *c);

/* Tries again, later each time. */
void ai_leg_redial(struct call *c);

void ai_leg_close(struct call *c);

/* The voice of this call: the business's, the worker's, or the provider's usual one; "" for the
 * agent's own. */
const char *ai_leg_voice(const struct call *c);
