/* A JSON reader for the per-frame path: checks the whole text against RFC 8259 and hands out views
 * of it. It allocates nothing, which the JSON library that reads everything else cannot promise.
 *
 *   struct jscan s = jscan_open(text, len);
 *   while (jscan_member(&s, &key, &value)) ...
 *   if (!jscan_ok(&s)) ...
 *
 * Strings must already be known to be UTF-8 (the WebSocket layer checks text messages). */
#pragma once
#include <string.h>

#include "common/base/base.h"

enum jscan_kind { JSCAN_NULL, JSCAN_BOOL, JSCAN_NUMBER, JSCAN_STRING, JSCAN_ARRAY, JSCAN_OBJECT };

struct jscan_value {
    enum jscan_kind kind;
    const char *at; /* a string without its quotes, anything else as written */
    size_t len;
    bool escaped;   /* a string that has backslashes */
};

struct jscan {
    const char *_at, *_end;
    enum { JSCAN_FIRST, JSCAN_NEXT, JSCAN_DONE, JSCAN_FAILED } _state;
};

/* Nesting of what is skipped over; deeper text is refused. */
enum { JSCAN_DEPTH_MAX = 32 };

/* Over the members of an object: the whole text, or a value of kind JSCAN_OBJECT. */
struct jscan jscan_open(const char *text, size_t len);

/* The next member. Its value has been checked to its end. false: at the end, or the text is bad. */
bool jscan_member(struct jscan *s, struct jscan_value *key, struct jscan_value *value);

/* Whether the object ended well; ask after jscan_member said false. */
bool jscan_ok(const struct jscan *s);

/* See jscan_is: no peer writes names so, but JSON may be written so. */
bool jscan_is_escaped(const struct jscan_value *v, const char *text);

/* A string equal to text (of less than 64 bytes), however it is written. Of a text that the compiler knows it
 * knows the length as well. */
static inline bool jscan_is(const struct jscan_value *v, const char *text)
{
    if (v->kind != JSCAN_STRING)
        return false;
    if (v->escaped)
        return jscan_is_escaped(v, text);
    return v->len == strlen(text) && memcmp(v->at, text, v->len) == 0;
}

/* Copies a string's text, escapes resolved, with a NUL. false: no string, too long, or it holds
 * what C text cannot (\u0000, lone surrogates). */
bool jscan_copy(const struct jscan_value *v, char *out, size_t size);

/* Base64 text that will be put into another JSON text as it is. Escapes ("\/") are resolved in
 * place, so the text v points into must be writable. false: it holds what base64 has not. */
bool jscan_base64(struct jscan_value *v);

/* Decimal digits, as a JSON number or inside a string (both occur for the same fields). */
bool jscan_uint(const struct jscan_value *v, uint64_t *out);

/* The first byte that ends a run of plain characters of a string: a quote, a backslash or a control byte; end if
 * there is none. */
const char *jscan_special(const char *at, const char *end);
