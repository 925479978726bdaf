#include "common/base/token.h"

#include <stdio.h>
#include <string.h>

#include "common/base/base64.h"
#include "common/base/crypto.h"
#include "common/base/decimal.h"

enum { NONCE_BYTES = 9, SIGNED_MAX = 320 };

static bool sign(char mac[BASE64_TEXT_SIZE(SHA256_BYTES)], const char *secret, const char *call_sid, int n,
                 int64_t expires_ms, const char *nonce)
{
    char text[SIGNED_MAX], *to;
    uint8_t digest[SHA256_BYTES];
    if (strlen(call_sid) + strlen(nonce) + 2 * DECIMAL_SIZE + 3 >= sizeof text)
        return false;
    to = stpcpy(decimal_put(stpcpy(stpcpy(text, call_sid), "|"), n), "|");
    to = stpcpy(stpcpy(decimal_put(to, expires_ms), "|"), nonce);
    if (!hmac_sha256(digest, secret, text, (size_t)(to - text)))
        return false;
    base64url_encode(mac, digest, sizeof digest);
    return true;
}

/* n.expires.nonce.mac, which fit. */
static void write_token(char out[TOKEN_SIZE], int n, int64_t expires_ms, const char *nonce, const char *mac)
{
    char *to = stpcpy(decimal_put(stpcpy(decimal_put(out, n), "."), expires_ms), ".");
    stpcpy(stpcpy(stpcpy(to, nonce), "."), mac);
}

void token_mint(char out[TOKEN_SIZE], const char *secret, const char *call_sid, int n, int64_t expires_ms)
{
    char nonce[2 * NONCE_BYTES + 1], mac[BASE64_TEXT_SIZE(SHA256_BYTES)];
    random_hex(nonce, NONCE_BYTES);
    out[0] = '\0';
    if (sign(mac, secret, call_sid, n, expires_ms, nonce))
        write_token(out, n, expires_ms, nonce, mac);
}

enum token_verdict token_check(const char *token, const char *secret, const char *call_sid, int *n)
{
    int number;
    long long expires_ms;
    char nonce[2 * NONCE_BYTES + 1], given[BASE64_TEXT_SIZE(SHA256_BYTES)], mac[BASE64_TEXT_SIZE(SHA256_BYTES)];
    char again[TOKEN_SIZE];
    if (sscanf(token, "%9d.%15lld.%18[0-9a-f].%44[A-Za-z0-9_-]", &number, &expires_ms, nonce, given) != 4 || number < 0)
        return TOKEN_MALFORMED;
    /* One call has one text: " +007" is 7 to sscanf, but not what was minted. */
    write_token(again, number, expires_ms, nonce, given);
    if (strcmp(again, token) != 0)
        return TOKEN_MALFORMED;
    if (!sign(mac, secret, call_sid, number, expires_ms, nonce) || !secret_equal(mac, given))
        return TOKEN_FORGED;
    *n = number;
    return TOKEN_GOOD;
}
