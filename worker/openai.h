/* OpenAI Realtime (GA shape): JSON texts to AI events and back. No socket, no clock.
 *
 * The audio delta, fifty times a second and call, is read without allocation; every other event
 * goes through the JSON library. Encoders return a text the caller frees, or NULL when out of
 * memory; openai_append writes into the caller's buffer. */
#pragma once
#include "worker/ai.h"

void openai_parse(char *text, size_t len, struct ai_event *ev);

/* The whole session: formats (mu-law both ways), voice, turn detection, transcription, tools. */
char *openai_session(const struct ai_settings *settings);

/* Only new instructions. */
char *openai_instructions(const char *instructions);

/* A turn of the past; speaker is "caller", "assistant" or "system". id: at most 32 characters. */
char *openai_past_turn(const char *id, const char *speaker, const char *text);

char *openai_tool_output(const char *call_id, const char *output);

/* instructions: NULL for none of its own. */
char *openai_response(const char *instructions);

char *openai_truncate(const char *item, int content_index, int64_t heard_ms);

/* Caller audio. Returns the length, or 0 if it does not fit. */
size_t openai_append(char *out, size_t size, const char *base64, size_t len);
enum { OPENAI_APPEND_OVERHEAD = 64 };
