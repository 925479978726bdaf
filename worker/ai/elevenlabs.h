/* ElevenLabs agents: the agent's WebSocket (`/v1/convai/conversation`), messages as of the vendor's
 * client event contract of 2026-08.
 *
 * The agent greets, listens and answers by itself. Answers and the caller's words have no names
 * there; they get some here (answer_1, words_1), from what is remembered of earlier messages. */
#pragma once
#include "worker/ai/ai.h"

extern const struct provider provider_elevenlabs;
