/* What an AI session neither heard nor said, it is told in words. An agent can only be told all of that before
 * it begins, and then begins to speak: it goes on with what the one before had still to say. */
#pragma once
#include "worker/call/call.h"

/* Item of the greeting that plays from the cache. */
#define GREETING_ITEM "greeting"

/* A new session is told the turns so far, oldest first; also one that is still being heard. */
void retell_all(struct call *c);

/* Agents: the session is lost. Of its answer no more will sound than has come: the rest is left for the next. */
void retell_keep_unsaid(struct call *c);

/* Agents: another one is about to be told. What plays stops, so that all is in the history; what is not heard of
 * it is the first that the next one says. */
void retell_cut(struct call *c);

/* The greeting plays from the cache, so it is a turn that the AI did not make. */
void retell_greeting_plays(struct call *c, const char *text);

/* The cached greeting was heard, or cut: the AI is told what the caller knows. */
void retell_greeting(struct call *c);

/* The caller said something without a voice (keys): a turn of the journal, told to the AI. */
void retell_keys(struct call *c, const char *item, const char *text);
