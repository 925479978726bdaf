/* Hashes, signatures, randomness, over OpenSSL. Hex is lower case. */
#pragma once
#include "common/base/base.h"

enum { SHA1_BYTES = 20, SHA256_BYTES = 32, SHA256_HEX_SIZE = 65 };

void hmac_sha1(uint8_t out[SHA1_BYTES], const char *key, const void *data, size_t len);
void hmac_sha256(uint8_t out[SHA256_BYTES], const char *key, const void *data, size_t len);
/* The same with a key that may hold any byte. */
void hmac_sha256_keyed(uint8_t out[SHA256_BYTES], const void *key, size_t key_len, const void *data, size_t len);
void sha256_hex(char out[SHA256_HEX_SIZE], const void *data, size_t len);

/* Compares in a time that does not tell where the first difference is. */
bool secret_equal(const char *a, const char *b);

/* 2 * bytes hex digits and a NUL from the system's random source; bytes <= 32. */
void random_hex(char *out, size_t bytes);

/* A random number below n (n > 0): jitter, not secrets. */
uint32_t random_below(uint32_t n);
