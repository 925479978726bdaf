/* A provider's session lives for so long and no longer (OpenAI Realtime: 60 minutes). Before its end
 * another one is opened beside it, and takes over in a moment when nobody speaks: the caller hears
 * nothing of that. Until then, and if no other can be had, the old one serves. */
#pragma once
#include "worker/call/call.h"

/* The session in use has just been taken: when is the next one due? */
void ai_standby_plan(struct call *c);

/* Once a second of a call that is talking. */
void ai_standby_look(struct call *c);

/* One that was opened knows the wrong settings, or is not needed any more. */
void ai_standby_drop(struct call *c);
