#pragma once
#include "warmer/outbound/provider.h"

extern const struct provider provider_twilio;

/* "Thu, 26 Nov 2026 10:00:00 +0000", as Twilio writes times; -1: it is none. */
int64_t twilio_time_ms(const char *rfc2822);
