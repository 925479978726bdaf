/* ElevenLabs-Signature of post-call webhooks: "t=<unix seconds>,v0=<hex of HMAC-SHA256>" over "<t>.<raw body>".
 * Pure. The header is read first; the body is hashed as it comes. */
#pragma once
#include "common/base/crypto.h"

enum { SIGNATURE_DIGESTS_MAX = 4, SIGNATURE_TIME_SIZE = 16 };

struct elevenlabs_signature {
    char time[SIGNATURE_TIME_SIZE]; /* as it was sent: it is part of what is signed */
    uint8_t digests[SIGNATURE_DIGESTS_MAX][SHA256_BYTES];
    int count; /* several while the secret is changed */
};

/* NULL, or why the header is worth nothing. now: seconds since 1970; older ones than half an hour are refused. */
const char *elevenlabs_signature_read(struct elevenlabs_signature *out, const char *header, int64_t now);

bool elevenlabs_signature_good(const struct elevenlabs_signature *signature, const uint8_t digest[SHA256_BYTES]);
