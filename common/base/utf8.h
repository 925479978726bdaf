/* UTF-8, as RFC 3629 has it: no surrogates, nothing overlong, nothing past U+10FFFF. Pure. */
#pragma once
#include "common/base/base.h"

/* Bytes of the character at s; 0 if there is none. A NUL is one character of one byte. */
size_t utf8_length(const char *s);

/* The same, and the character itself. */
size_t utf8_read(const char *s, uint32_t *character);

/* Whether a whole C string is UTF-8. */
bool utf8_valid(const char *s);

/* In place: a byte that is none becomes '?'. */
void utf8_mend(char *text);

/* As many whole characters of text as fit, and a NUL; a byte that is none becomes '?'. size > 0. */
void utf8_copy(char *out, size_t size, const char *text);
