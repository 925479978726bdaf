/* Numbers into text without a format string, where every webhook, command and log line does it. With stpcpy:
 *
 *   to = stpcpy(decimal_put(stpcpy(to, "n="), n), ";"); */
#pragma once
#include "common/base/base.h"

enum { DECIMAL_SIZE = 21 /* of any, with sign and NUL */ };

/* Writes n and a NUL; returns where the NUL stands. */
static inline char *decimal_put(char *to, int64_t n)
{
    uint64_t rest = n < 0 ? 0 - (uint64_t)n : (uint64_t)n;
    char digits[DECIMAL_SIZE];
    size_t count = 0;
    do {
        digits[count++] = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (n < 0)
        *to++ = '-';
    while (count > 0)
        *to++ = digits[--count];
    *to = '\0';
    return to;
}
