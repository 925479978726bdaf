/* Hexadecimal digits, as they stand in escapes. */
#pragma once
#include "common/base/base.h"

/* 0 to 15; -1: it is none. */
static inline int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of four digits, as in "\u00e9"; -1: they are not. */
static inline int hex4(const char *at)
{
    int n = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        n = n << 4 | digit;
    }
    return n;
}
