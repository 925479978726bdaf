/* Twilio Media Streams, bidirectional: JSON texts to carrier events and back. No socket, no clock.
 * Fields and types: Twilio documentation, "Media Streams - WebSocket messages". */
#pragma once
#include "worker/carrier.h"

/* text may be scribbled on (escaped audio is resolved in place). */
void twilio_parse(char *text, size_t len, struct carrier_event *ev);

/* Each writes one message and returns its length, or 0 if it does not fit. */
size_t twilio_audio(char *out, size_t size, const char *stream_sid, const char *base64, size_t len);
size_t twilio_mark(char *out, size_t size, const char *stream_sid, const char *name);
size_t twilio_clear(char *out, size_t size, const char *stream_sid);

/* Bytes that twilio_audio adds around its base64. */
enum { TWILIO_AUDIO_OVERHEAD = 64 + CARRIER_SID_SIZE };
