/* OpenAI Realtime, GA shape. The audio delta, fifty times a second and call, is read without
 * allocation; every other event goes through the JSON library. */
#pragma once
#include "worker/ai/ai.h"

extern const struct provider provider_openai;
