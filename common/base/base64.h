/* Base64 of RFC 4648 on caller's buffers, over OpenSSL. */
#pragma once
#include "common/base/base.h"

/* Bytes needed for the text of n bytes, with the final NUL. */
#define BASE64_TEXT_SIZE(n) ((((n) + 2) / 3) * 4 + 1)

/* Writes text and a NUL; returns the text's length. out holds BASE64_TEXT_SIZE(len). */
size_t base64_encode(char *out, const uint8_t *bytes, size_t len);

/* URL-safe alphabet, no padding; same sizes. */
size_t base64url_encode(char *out, const uint8_t *bytes, size_t len);

/* Decodes strict, padded base64. Returns the byte count or -1 if the text is not base64.
 * out holds len / 4 * 3 bytes. */
RF_NODISCARD ptrdiff_t base64_decode(uint8_t *out, const char *text, size_t len);

/* Byte count of padded base64 text without looking at it; 0 when the length cannot be right. */
size_t base64_decoded_size(const char *text, size_t len);
