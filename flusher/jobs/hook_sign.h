/* Signatures of the after-call hook, as in the Standard Webhooks specification 1.0.0 (standardwebhooks.com), for which
 * there are libraries to verify them. Pure. */
#pragma once
#include "common/base/base.h"

enum { HOOK_SECRET_MAX = 64, HOOK_SIGNATURE_SIZE = 64 };

struct hook_secret {
    uint8_t key[HOOK_SECRET_MAX];
    size_t len;
};

/* whsec_ and the base64 of 24 to 64 bytes. false: it is not. */
RF_NODISCARD bool hook_secret_read(struct hook_secret *secret, const char *text);

/* v1, and the base64 of HMAC-SHA256 over id.timestamp.body. false: memory is out. */
RF_NODISCARD bool hook_sign(char out[HOOK_SIGNATURE_SIZE], const struct hook_secret *secret, const char *id,
                            int64_t timestamp_s, const char *body);
