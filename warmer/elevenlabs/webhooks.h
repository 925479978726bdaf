/* What ElevenLabs' agents ask during a call that they carry; POST, JSON, with the bearer key of tools. */
#pragma once
#include "warmer/server.h"

/* A line of dialogue. */
void dialogue_handle(struct request *r);
/* What is known of the call, and what was said. */
void lookup_handle(struct request *r);
/* A caller is there: who is it? */
void personalization_handle(struct request *r);
