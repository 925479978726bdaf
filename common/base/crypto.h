/* Hashes, signatures, randomness, over OpenSSL. Hex is lower case. */
#pragma once
#include "common/base/base.h"

enum { SHA1_BYTES = 20, SHA256_BYTES = 32, SHA256_HEX_SIZE = 65 };

/* At start, while there is memory: OpenSSL does not live through having none when it is used for the first time.
 * false: it cannot be used. */
RF_NODISCARD bool crypto_init(void);

/* false: out of memory. Then the result is random: nothing that is signed so verifies, nothing verifies by it. */
bool hmac_sha1(uint8_t out[SHA1_BYTES], const char *key, const void *data, size_t len);
bool hmac_sha256(uint8_t out[SHA256_BYTES], const char *key, const void *data, size_t len);
/* The same with a key that may hold any byte. */
bool hmac_sha256_keyed(uint8_t out[SHA256_BYTES], const void *key, size_t key_len, const void *data, size_t len);

/* HMAC-SHA256 of what comes in pieces. NULL when out of memory; hmac_end gives it back, or hmac_drop without an
 * answer (accepts NULL). false: it failed, and out is of no use. */
struct hmac_stream;
RF_NODISCARD struct hmac_stream *hmac_begin(const char *key);
void hmac_add(struct hmac_stream *stream, const void *data, size_t len);
RF_NODISCARD bool hmac_end(struct hmac_stream *stream, uint8_t out[SHA256_BYTES]);
void hmac_drop(struct hmac_stream *stream);

/* false: out of memory, and out is "". */
bool sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t len);

/* Compares in a time that does not tell where the first difference is. */
bool secret_equal(const char *a, const char *b);

/* 2 * bytes hex digits and a NUL from the system's random source; bytes <= 32. */
void random_hex(char *out, size_t bytes);

/* A random number below n (n > 0): jitter, not secrets. */
uint32_t random_below(uint32_t n);
