/* The AI's side of a call: opening a session, telling it what it must know, replacing a lost one. */
#pragma once
#include "worker/call/call.h"

/* Takes a session that stands open, and configures it; or dials: then CALL_EV_AI_OPEN follows. If
 * there is none to be had, CALL_EV_AI_LOST. */
void ai_leg_open(struct call *c);

/* The first thing a session hears: settings, prompt, and the turns so far. */
void ai_leg_configure(struct call *c);

/* The greeting is over, or the full context has come: the FULL prompt takes over. Rule 4 of the
 * design: it is in the context already, and one message goes out; where the context came late, a second one with the
 * tools and the language. */
void ai_leg_upgrade_prompt(struct call *c);

/* The settings were refused, all of them. They are tried without transcription, whose models change
 * most; refused again, the call ends. */
void ai_leg_refused(struct call *c, const char *error);

/* The session is gone: what only it knew is over. What was sent to the caller plays on. */
void ai_leg_lost(struct call *c);

/* The call goes on with another session, which is to know what the lost one knew. */
void ai_leg_replace(struct call *c);

/* The session's settings, with the prompt that is due now; the caller frees. NULL: out of memory. */
char *ai_leg_settings(const struct call *c);

/* A session that stood by, configured, is the call's from now on: it is told the turns so far, and hears the
 * last half second again, in case a word has begun that the old one has not told of yet. */
void ai_leg_adopt(struct call *c, struct ws_conn *ws, const struct ai_memory *memory);

/* The settings are in force: the session is to be used. */
void ai_leg_ready(struct call *c, const struct ai_event *ev);

/* Tries again, later each time. */
void ai_leg_redial(struct call *c);

void ai_leg_close(struct call *c);

/* Sends what an encoder made, and frees it; NULL (out of memory) is skipped and logged. */
void ai_leg_send(struct call *c, char *text);

/* The voice of this call: the business's, the worker's, or the provider's usual one; "" for the
 * agent's own. */
const char *ai_leg_voice(const struct call *c);
