#include "common/base/crypto.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/util.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

static void hmac(const EVP_MD *md, uint8_t *out, const char *key, const void *data, size_t len)
{
    HMAC(md, key, (int)strlen(key), data, len, out, NULL);
}

void hmac_sha1(uint8_t out[SHA1_BYTES], const char *key, const void *data, size_t len)
{
    hmac(EVP_sha1(), out, key, data, len);
}

void hmac_sha256(uint8_t out[SHA256_BYTES], const char *key, const void *data, size_t len)
{
    hmac(EVP_sha256(), out, key, data, len);
}

static void put_hex(char *out, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

void sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t len)
{
    uint8_t digest[SHA256_BYTES];
    EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL);
    put_hex(out, digest, sizeof digest);
}

bool secret_equal(const char *a, const char *b)
{
    size_t len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

void random_hex(char *out, size_t bytes)
{
    uint8_t raw[32];
    /* Without randomness no token is safe; this happens before the first call or never. */
    if (bytes > sizeof raw || RAND_bytes(raw, (int)bytes) != 1)
        abort();
    put_hex(out, raw, bytes);
}

uint32_t random_below(uint32_t n)
{
    uint32_t value;
    evutil_secure_rng_get_bytes(&value, sizeof value);
    return value % n;
}
