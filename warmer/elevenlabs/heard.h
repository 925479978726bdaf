/* A recording of a conversation is to be had: its call gets it as an entry, once however often it is said. On our
 * shelf, if there is one, and then only once it lies there; else at ElevenLabs, where the flusher fetches it. */
#pragma once
#include "warmer/elevenlabs/told.h"

/* call_sid: "" asks which call the conversation is of. TOLD_UNKNOWN: none that is known, or not on the shelf (what comes
 * later, the recording or the report that names the call, says so again). fn is called exactly once, perhaps from
 * inside. */
void heard_keep(struct warmer *w, const char *call_sid, const char *conversation_id, told_fn *fn, void *arg);
