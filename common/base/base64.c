#include "common/base/base64.h"

#include <string.h>

#include <openssl/evp.h>

size_t base64_encode(char *out, const uint8_t *bytes, size_t len)
{
    return (size_t)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
}

size_t base64url_encode(char *out, const uint8_t *bytes, size_t len)
{
    size_t n = base64_encode(out, bytes, len);
    while (n > 0 && out[n - 1] == '=')
        out[--n] = '\0';
    for (size_t i = 0; i < n; i++) {
        if (out[i] == '+')
            out[i] = '-';
        else if (out[i] == '/')
            out[i] = '_';
    }
    return n;
}

/* Padding characters at the end of len > 1 bytes of text: 0, 1 or 2. */
static size_t padding(const char *text, size_t len)
{
    if (text[len - 1] != '=')
        return 0;
    return text[len - 2] == '=' ? 2 : 1;
}

size_t base64_decoded_size(const char *text, size_t len)
{
    if (len == 0 || len % 4 != 0)
        return 0;
    return len / 4 * 3 - padding(text, len);
}

ptrdiff_t base64_decode(uint8_t *out, const char *text, size_t len)
{
    if (len == 0)
        return 0;
    if (len % 4 != 0 || memchr(text, '=', len - padding(text, len)))
        return -1;
    /* OpenSSL skips whitespace at both ends; then it decodes less than the text's length promises. */
    if (EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) != (int)(len / 4 * 3))
        return -1;
    return (ptrdiff_t)base64_decoded_size(text, len);
}
