/* What the carrier says when it could not go on with a call and asks its fallback. */
#pragma once
#include "warmer/server.h"

/* Noted; and the stream behind which the call broke, or -1 if it has had none so far as the carrier says. */
int fallback_stream(const struct request *r);
