/* Telnyx media streaming, bidirectional, `stream_bidirectional_mode` rtp with codec PCMU. Fields and
 * types: Telnyx documentation, "Stream call media over WebSocket".
 *
 * The stream's token comes as the custom parameter `token`, or as the call's `client_state` (base64
 * of the token): which of the two reaches the stream depends on how the stream was started. */
#pragma once
#include "worker/carrier/carrier.h"

extern const struct carrier carrier_telnyx;
