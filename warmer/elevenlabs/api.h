#pragma once
#include "warmer/outbound/provider.h"

extern const struct provider provider_elevenlabs;

/* A call's context as the agent gets it: what its prompt may name. */
json_t *elevenlabs_variables(const struct context *context);
