/* X-Twilio-Signature: base64 of HMAC-SHA1 over the URL and the sorted form (Twilio docs, "Webhooks
 * security"; vectors in tests/unit/warmer/test_signature.c). Pure. */
#pragma once
#include "common/base/base.h"
#include "warmer/form.h"

struct signed_request {
    const char *url;         /* as the carrier was told it: public base and raw request target */
    const struct form *form; /* NULL when the body is no form: then the URL must carry bodySHA256 */
    const void *body;        /* raw bytes, looked at only without a form */
    size_t body_len;
};

/* UNSURE: there was no memory to find out. */
enum signature_verdict { SIGNATURE_GOOD, SIGNATURE_WRONG, SIGNATURE_UNSURE };

/* Whether `given` is the signature of the request under one of the comma-separated auth tokens.
 * The carrier is not consistent about ports (5.2 of its own notes: dropped over https, kept over
 * http), so the URL is tried as it is, without a port, and with the port of its scheme. */
RF_NODISCARD enum signature_verdict signature_check(const struct signed_request *request, const char *auth_tokens,
                                                    const char *given);
