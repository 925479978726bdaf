/* The greeting's audio, kept in Redis by text and voice, so that the next call's first word does
 * not wait for the AI. */
#pragma once
#include "worker/call/call.h"

enum { GREETING_AUDIO_MAX = 30 * 8000 }; /* 30 s of mu-law; a longer one is not kept */

/* Asks Redis for the audio of this call's greeting. CALL_EV_GREETING follows, with the audio or
 * without; c->greeting.ticket tells that it is still to come. */
void greeting_look_up(struct call *c);

/* Its first sound goes to the caller: that is in the journal from here on, so that another worker, should this
 * one die, does not greet from the beginning again. */
void greeting_begins(struct call *c);

/* The cache has answered. Whoever waits for the greeting goes on: with the audio, or by asking the AI. */
void greeting_arrived(struct call *c, const redisReply *reply);

/* Asks the AI to speak the greeting. */
void greeting_ask(struct call *c);

/* While the AI speaks the greeting itself: keeps a copy of what goes to the caller. */
void greeting_record(struct call *c, const struct ai_event *ev);

/* The AI has said these words. Unless they are the greeting's, the audio is not the greeting's. */
void greeting_said(struct call *c, const char *words);

/* The AI's greeting is complete: its audio goes to the cache. */
void greeting_store(struct call *c);

/* What the AI said was not all of it, or not heard to its end: nothing is kept. */
void greeting_forget(struct call *c);

/* Once a second: an AI that stands ready does not wait for a cache that does not answer. */
void greeting_hurry(struct call *c, int64_t now_ms);

void greeting_release(struct call *c);
