#include "common/base/utf8.h"

#include <string.h>

/* The table of RFC 3629, section 4. */
size_t utf8_length(const char *s)
{
    const unsigned char *u = (const unsigned char *)s;
    size_t len = u[0] < 0x80 ? 1 : u[0] < 0xC2 ? 0 : u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : u[0] < 0xF5 ? 4 : 0;
    for (size_t i = 1; i < len; i++) {
        if ((u[i] & 0xC0) != 0x80)
            return 0;
    }
    if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F) || (u[0] == 0xF0 && u[1] < 0x90) ||
        (u[0] == 0xF4 && u[1] > 0x8F))
        return 0; /* overlong, surrogate, or above U+10FFFF */
    return len;
}

size_t utf8_read(const char *s, uint32_t *character)
{
    size_t len = utf8_length(s);
    uint32_t c = len == 1 ? (unsigned char)s[0] : (unsigned char)s[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s[i] & 0x3F);
    *character = c;
    return len;
}

bool utf8_valid(const char *s)
{
    while (*s) {
        size_t len = (unsigned char)*s < 0x80 ? 1 : utf8_length(s);
        if (len == 0)
            return false;
        s += len;
    }
    return true;
}

void utf8_mend(char *text)
{
    while (*text) {
        size_t len = utf8_length(text);
        if (len == 0)
            *text = '?';
        text += len ? len : 1;
    }
}

void utf8_copy(char *out, size_t size, const char *text)
{
    while (*text) {
        size_t len = utf8_length(text), step = len ? len : 1;
        if (step >= size)
            break;
        if (len)
            memcpy(out, text, len);
        else
            *out = '?';
        out += step;
        size -= step;
        text += step;
    }
    *out = '\0';
}
