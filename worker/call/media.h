/* Audio of a call, both ways, without transcoding: base64 mu-law passes through as it came. */
#pragma once
#include "worker/call/call.h"

/* The caller's audio: to the AI, and into the tail, for the session that comes if this one is lost:
 * words it has not written down are lost with it. Frames that the carrier left out are replaced by
 * silence, or a turn would never end. */
void media_from_caller(struct call *c, const struct carrier_event *ev);

/* To the AI goes in one message what one read brought of a call's audio: this one is over. */
void media_flush(struct worker *w);

/* false: more audio than time has passed, beyond what a stall could have held back. */
bool media_in_time(struct call *c, const struct carrier_event *ev);

/* No frame came for a while in the middle of the caller's words: silence lets the turn end. */
void media_fill_pause(struct call *c, int64_t now_ms);

/* What no session has understood yet goes to one that can hear now. */
void media_send_tail(struct call *c);

/* To a session that takes over in a pause: the last half second, because it is told late that words began. */
void media_send_lead(struct call *c);

/* The caller began, or ended, an utterance. */
void media_speaking(struct call *c, bool speaking);

/* It is written down: no session needs to hear it again. */
void media_understood(struct call *c);

/* Once a second: words that nobody will write down any more. */
void media_forget_old_words(struct call *c, int64_t now_ms);

/* The caller has gone in mid-word: silence lets the AI end the turn. */
void media_end_words(struct call *c);

/* Audio of ours that is no AI's: the greeting from the cache. */
void media_play(struct call *c, const char *item, const uint8_t *mulaw, size_t len);

/* A piece of the assistant's speech, to the carrier's queue. */
void media_to_caller(struct call *c, const struct ai_event *ev);

/* The answer's audio is complete: the last piece gets its mark. */
void media_answer_done(struct call *c);

/* Empties the carrier's queue. */
void media_clear(struct call *c);
