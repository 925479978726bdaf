#include "common/base/base64.h"

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

size_t base64_decoded_size(const char *text, size_t len)
{
    if (len == 0 || len % 4 != 0)
        return 0;
    return len / 4 * 3 - (text[len - 1] == '=') - (text[len - 2] == '=');
}

ptrdiff_t base64_decode(uint8_t *out, const char *text, size_t len)
{
    if (len == 0)
        return 0;
    if (len % 4 != 0 || EVP_DecodeBlock(out, (const unsigned char *)text, (int)len) < 0)
        return -1;
    return (ptrdiff_t)base64_decoded_size(text, len);
}
