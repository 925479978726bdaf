#include "common/base/crypto.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <event2/util.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

/* Looking an algorithm up costs OpenSSL 3 several times what the hash of a webhook does, so that is done
 * once; each use is a copy. */
static EVP_MAC_CTX *looked_up[2];
enum { HMAC_SHA1, HMAC_SHA256 };

static EVP_MAC_CTX *look_up(EVP_MAC *mac, const char *digest)
{
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", (char *)(uintptr_t)digest, 0),
                           OSSL_PARAM_construct_end()};
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    if (ctx && EVP_MAC_CTX_set_params(ctx, params))
        return ctx;
    EVP_MAC_CTX_free(ctx);
    return NULL;
}

static void look_up_all(void)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    looked_up[HMAC_SHA1] = look_up(mac, "SHA1");
    looked_up[HMAC_SHA256] = look_up(mac, "SHA256");
    EVP_MAC_free(mac); /* the contexts hold it */
}

static pthread_once_t looked_up_once = PTHREAD_ONCE_INIT;

static EVP_MAC_CTX *context_of(int which)
{
    pthread_once(&looked_up_once, look_up_all);
    return looked_up[which] ? EVP_MAC_CTX_dup(looked_up[which]) : NULL;
}

/* Setting a key costs as much as the hash of a webhook, and a thread uses the same one again and again: it keeps the
 * last of each kind, ready to begin anew. And random bytes, which are cheaper by the dozen. */
enum { KEPT_KEY_MAX = 128, KEPT_RANDOM = 288 };

struct kept {
    struct kept_key {
        EVP_MAC_CTX *ctx;
        size_t len;
        uint8_t key[KEPT_KEY_MAX];
    } keys[2];
    uint8_t random[KEPT_RANDOM];
    size_t random_left;
};

static pthread_key_t kept_key;

static void kept_free(void *arg)
{
    struct kept *kept = arg;
    for (size_t i = 0; i < ARRAY_LEN(kept->keys); i++)
        EVP_MAC_CTX_free(kept->keys[i].ctx);
    OPENSSL_cleanse(kept, sizeof *kept);
    free(kept);
}

static void kept_prepare(void)
{
    if (pthread_key_create(&kept_key, kept_free) != 0)
        abort();
}

/* This thread's; NULL when out of memory. */
static struct kept *kept_here(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct kept *kept;
    pthread_once(&once, kept_prepare);
    kept = pthread_getspecific(kept_key);
    if (!kept && (kept = calloc(1, sizeof *kept)) && pthread_setspecific(kept_key, kept) != 0) {
        free(kept);
        kept = NULL;
    }
    return kept;
}

static EVP_MAC_CTX *begin_again(struct kept_key *kept, int which, const void *key, size_t len)
{
    if (kept->ctx && kept->len == len && memcmp(kept->key, key, len) == 0 && EVP_MAC_init(kept->ctx, NULL, 0, NULL))
        return kept->ctx;
    EVP_MAC_CTX_free(kept->ctx);
    kept->ctx = context_of(which);
    kept->len = len;
    memcpy(kept->key, key, len);
    if (kept->ctx && EVP_MAC_init(kept->ctx, key, len, NULL))
        return kept->ctx;
    EVP_MAC_CTX_free(kept->ctx);
    kept->ctx = NULL;
    return NULL;
}

static bool hmac_with(EVP_MAC_CTX *ctx, uint8_t *out, size_t size, const void *data, size_t len)
{
    size_t written;
    return ctx && EVP_MAC_update(ctx, data, len) && EVP_MAC_final(ctx, out, &written, size);
}

static bool hmac(int which, uint8_t *out, size_t size, const void *key, size_t key_len, const void *data, size_t len)
{
    struct kept *kept = key_len <= KEPT_KEY_MAX ? kept_here() : NULL;
    EVP_MAC_CTX *ctx = kept ? begin_again(&kept->keys[which], which, key, key_len) : context_of(which);
    bool good = (kept || (ctx && EVP_MAC_init(ctx, key, key_len, NULL))) && hmac_with(ctx, out, size, data, len);
    if (!good)
        evutil_secure_rng_get_bytes(out, size);
    if (!kept)
        EVP_MAC_CTX_free(ctx);
    return good;
}

bool hmac_sha1(uint8_t out[SHA1_BYTES], const char *key, const void *data, size_t len)
{
    return hmac(HMAC_SHA1, out, SHA1_BYTES, key, strlen(key), data, len);
}

bool hmac_sha256(uint8_t out[SHA256_BYTES], const char *key, const void *data, size_t len)
{
    return hmac_sha256_keyed(out, key, strlen(key), data, len);
}

bool hmac_sha256_keyed(uint8_t out[SHA256_BYTES], const void *key, size_t key_len, const void *data, size_t len)
{
    return hmac(HMAC_SHA256, out, SHA256_BYTES, key, key_len, data, len);
}

struct hmac_stream {
    EVP_MAC_CTX *ctx;
    bool failed;
};

struct hmac_stream *hmac_begin(const char *key)
{
    struct hmac_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->ctx = context_of(HMAC_SHA256);
    stream->failed = !stream->ctx || !EVP_MAC_init(stream->ctx, (const unsigned char *)key, strlen(key), NULL);
    return stream;
}

void hmac_add(struct hmac_stream *stream, const void *data, size_t len)
{
    stream->failed = stream->failed || !EVP_MAC_update(stream->ctx, data, len);
}

bool hmac_end(struct hmac_stream *stream, uint8_t out[SHA256_BYTES])
{
    size_t written;
    bool good = !stream->failed && EVP_MAC_final(stream->ctx, out, &written, SHA256_BYTES);
    hmac_drop(stream);
    return good;
}

void hmac_drop(struct hmac_stream *stream)
{
    if (!stream)
        return;
    EVP_MAC_CTX_free(stream->ctx);
    free(stream);
}

static void put_hex(char *out, const uint8_t *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < len; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 0xF];
    }
    out[2 * len] = '\0';
}

bool sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t len)
{
    uint8_t digest[SHA256_BYTES];
    bool good = EVP_Digest(data, len, digest, NULL, EVP_sha256(), NULL);
    put_hex(out, digest, good ? sizeof digest : 0);
    return good;
}

bool crypto_init(void)
{
    char hash[SHA256_HEX_SIZE];
    uint8_t random;
    pthread_once(&looked_up_once, look_up_all);
    return looked_up[HMAC_SHA1] && looked_up[HMAC_SHA256] && sha256_hex(hash, "", 0) && RAND_bytes(&random, 1) == 1;
}

bool secret_equal(const char *a, const char *b)
{
    size_t len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

/* Without randomness no token is safe; that shows before the first call or never. */
static void random_fill(uint8_t *out, size_t len)
{
    if (RAND_bytes(out, (int)len) != 1)
        abort();
}

void random_hex(char *out, size_t bytes)
{
    struct kept *kept = kept_here();
    uint8_t raw[32];
    if (bytes > sizeof raw)
        abort();
    if (!kept) {
        random_fill(raw, bytes);
        put_hex(out, raw, bytes);
        return;
    }
    if (kept->random_left < bytes) {
        random_fill(kept->random, sizeof kept->random);
        kept->random_left = sizeof kept->random;
    }
    kept->random_left -= bytes;
    put_hex(out, kept->random + kept->random_left, bytes);
    OPENSSL_cleanse(kept->random + kept->random_left, bytes);
}

uint32_t random_below(uint32_t n)
{
    uint32_t value;
    evutil_secure_rng_get_bytes(&value, sizeof value);
    return value % n;
}
