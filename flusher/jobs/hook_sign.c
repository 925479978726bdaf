#include "flusher/jobs/hook_sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/crypto.h"

#define PREFIX "whsec_"
enum { KEY_MIN = 24, TEXT_MAX = 88 };

bool hook_secret_read(struct hook_secret *secret, const char *text)
{
    uint8_t key[TEXT_MAX];
    ptrdiff_t len;
    if (strncmp(text, PREFIX, sizeof PREFIX - 1) != 0)
        return false;
    text += sizeof PREFIX - 1;
    len = strlen(text) <= TEXT_MAX ? base64_decode(key, text, strlen(text)) : -1;
    if (len < KEY_MIN || len > HOOK_SECRET_MAX)
        return false;
    memcpy(secret->key, key, (size_t)len);
    secret->len = (size_t)len;
    return true;
}

bool hook_sign(char out[HOOK_SIGNATURE_SIZE], const struct hook_secret *secret, const char *id, int64_t timestamp_s,
               const char *body)
{
    uint8_t mac[SHA256_BYTES];
    char *text = NULL;
    bool good;
    int len = asprintf(&text, "%s.%lld.%s", id, (long long)timestamp_s, body);
    if (len < 0)
        return false;
    good = hmac_sha256_keyed(mac, secret->key, secret->len, text, (size_t)len);
    free(text);
    memcpy(out, "v1,", 3);
    base64_encode(out + 3, mac, sizeof mac);
    return good;
}
