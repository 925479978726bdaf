/* The token that ties one media stream to one call.
 *
 * The warmer mints it into the TwiML's <Parameter name="token">; the worker checks that it is ours before it
 * touches Redis. Text: "<n>.<expires_ms>.<nonce>.<mac>", where n counts the streams offered for the
 * call (0 first, then one per resume) and mac is HMAC-SHA256 with RINGFLEET_STREAM_SECRET over
 * "<call_sid>|<n>|<expires_ms>|<nonce>", base64url. Name and value together stay far below the 500
 * characters that Twilio allows a <Parameter> (TwiML reference, "Stream: Parameter"). That a token
 * serves once, and until when, is kept in Redis and judged by the claim, so that no two machines' clocks are
 * compared: expires_ms, by the warmer's clock, is for workers of versions that judge it themselves. */
#pragma once
#include "common/base/base.h"

#define TOKEN_PARAMETER "token"
/* Our own id of a call that we dialled, which the carrier knows by another one; the token is of this one. */
#define CALL_PARAMETER "call_sid"
enum { TOKEN_SIZE = 160 };

enum token_verdict { TOKEN_GOOD, TOKEN_MALFORMED, TOKEN_FORGED };

/* A fresh token each time; keep the first one for webhooks that arrive twice. "" when out of memory. */
void token_mint(char out[TOKEN_SIZE], const char *secret, const char *call_sid, int n, int64_t expires_ms);

/* *n is set only when the verdict is TOKEN_GOOD. */
RF_NODISCARD enum token_verdict token_check(const char *token, const char *secret, const char *call_sid, int *n);
