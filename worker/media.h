/* Audio of a call, both ways, without transcoding: base64 mu-law passes through as it came. */
#pragma once
#include "worker/call.h"

/* The caller's audio: to the AI, or kept while the AI is not ready (bounded, oldest lost first). */
void media_from_caller(struct call *c, const struct carrier_event *ev);

/* What was kept, now that the AI can hear. */
void media_send_early(struct call *c);

/* A piece of the assistant's speech, to the carrier's queue. */
void media_to_caller(struct call *c, const struct ai_event *ev);

/* The answer's audio is complete: the last piece gets its mark. */
void media_answer_done(struct call *c);

/* Empties the carrier's queue. */
void media_clear(struct call *c);
