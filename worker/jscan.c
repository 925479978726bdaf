#include "worker/jscan.h"

#include <string.h>

#include "common/base/hex.h"

enum { DIGITS_MAX = 18 }; /* of a number that surely fits */

static const char *skip_space(const char *at, const char *end)
{
    while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
        at++;
    return at;
}

/* Of a word in memory, the first byte that is not 0. */
static size_t first_byte(uint64_t word)
{
    return (size_t)(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? __builtin_ctzll(word) : __builtin_clzll(word)) / 8;
}

/* Sixteen at a time, by the compiler's vectors: most of what an audio message holds is one long string. */
const char *jscan_special(const char *at, const char *end)
{
    typedef uint8_t bytes __attribute__((vector_size(16)));
    for (; end - at >= (ptrdiff_t)sizeof(bytes); at += sizeof(bytes)) {
        bytes some, special;
        uint64_t found[2];
        memcpy(&some, at, sizeof some);
        special = (bytes)((some == '"') | (some == '\\') | (some < 0x20));
        memcpy(found, &special, sizeof found);
        if (found[0] | found[1])
            return at + (found[0] ? first_byte(found[0]) : sizeof found[0] + first_byte(found[1]));
    }
    while (at < end && (unsigned char)*at >= 0x20 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Past the escape after a backslash; NULL if it is none. */
static const char *skip_escape(const char *at, const char *end)
{
    if (at >= end)
        return NULL;
    if (*at == 'u')
        return end - at > 4 && hex4(at + 1) >= 0 ? at + 5 : NULL;
    return strchr("\"\\/bfnrt", *at) && *at ? at + 1 : NULL;
}

/* at is behind the opening quote. Returns what follows the closing one, or NULL. */
static const char *scan_string(const char *at, const char *end, struct jscan_value *v)
{
    *v = (struct jscan_value){JSCAN_STRING, at, 0, false};
    while ((at = jscan_special(at, end)) < end) {
        if (*at == '"') {
            v->len = (size_t)(at - v->at);
            return at + 1;
        }
        if (*at != '\\')
            return NULL;
        v->escaped = true;
        at = skip_escape(at + 1, end);
        if (!at)
            return NULL;
    }
    return NULL;
}

static const char *scan_digits(const char *at, const char *end)
{
    const char *start = at;
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at > start ? at : NULL;
}

static const char *scan_number(const char *at, const char *end)
{
    if (at < end && *at == '-')
        at++;
    if (at < end && *at == '0')
        at++;
    else
        at = scan_digits(at, end);
    if (at && at < end && *at == '.')
        at = scan_digits(at + 1, end);
    if (at && at < end && (*at | 0x20) == 'e') {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = scan_digits(at, end);
    }
    return at;
}

static const char *scan_word(const char *at, const char *end, const char *word)
{
    size_t len = strlen(word);
    return (size_t)(end - at) >= len && memcmp(at, word, len) == 0 ? at + len : NULL;
}

static const char *scan_scalar(const char *at, const char *end, struct jscan_value *v)
{
    const char *start = at;
    switch (*at) {
    case '"':
        return scan_string(at + 1, end, v);
    case 't':
        at = scan_word(at, end, "true");
        v->kind = JSCAN_BOOL;
        break;
    case 'f':
        at = scan_word(at, end, "false");
        v->kind = JSCAN_BOOL;
        break;
    case 'n':
        at = scan_word(at, end, "null");
        v->kind = JSCAN_NULL;
        break;
    default:
        at = scan_number(at, end);
        v->kind = JSCAN_NUMBER;
        break;
    }
    v->at = start;
    v->len = at ? (size_t)(at - start) : 0;
    v->escaped = false;
    return at;
}

static const char *scan_key(const char *at, const char *end, struct jscan_value *key)
{
    at = skip_space(at, end);
    if (at >= end || *at != '"')
        return NULL;
    at = scan_string(at + 1, end, key);
    if (!at)
        return NULL;
    at = skip_space(at, end);
    return at < end && *at == ':' ? skip_space(at + 1, end) : NULL;
}

/* Walks over one container without recursion; bit d of objects says whether level d is an object. */
static const char *scan_container(const char *at, const char *end)
{
    uint64_t objects = 0;
    int depth = 0;
    bool fresh = false; /* just opened: a closing bracket may follow */
    struct jscan_value ignored;
    do {
        if (at >= end)
            return NULL;
        if (*at == '{' || *at == '[') {
            if (depth == JSCAN_DEPTH_MAX)
                return NULL;
            depth++;
            objects = *at == '{' ? objects | 1u << (depth - 1) : objects & ~((uint64_t)1 << (depth - 1));
            at = skip_space(at + 1, end);
            fresh = true;
        } else {
            at = scan_scalar(at, end, &ignored);
            if (!at)
                return NULL;
            at = skip_space(at, end);
            fresh = false;
        }
        /* after a value, or at the start of a container: close what closes */
        while (at < end && depth > 0 && *at == (objects >> (depth - 1) & 1 ? '}' : ']')) {
            depth--;
            at++;
            fresh = false;
            if (depth > 0)
                at = skip_space(at, end);
        }
        if (depth == 0)
            return at;
        if (!fresh) {
            if (at >= end || *at != ',')
                return NULL;
            at = skip_space(at + 1, end);
        }
        if (objects >> (depth - 1) & 1) {
            at = scan_key(at, end, &ignored);
            if (!at)
                return NULL;
        }
    } while (true);
}

static const char *scan_value(const char *at, const char *end, struct jscan_value *v)
{
    const char *start = at;
    if (at >= end)
        return NULL;
    if (*at != '{' && *at != '[')
        return scan_scalar(at, end, v);
    at = scan_container(at, end);
    if (at)
        *v = (struct jscan_value){*start == '{' ? JSCAN_OBJECT : JSCAN_ARRAY, start, (size_t)(at - start), false};
    return at;
}

struct jscan jscan_open(const char *text, size_t len)
{
    struct jscan s = {._at = skip_space(text, text + len), ._end = text + len, ._state = JSCAN_FIRST};
    if (s._at >= s._end || *s._at++ != '{')
        s._state = JSCAN_FAILED;
    return s;
}

/* At a closing brace: only space may follow. */
static bool finish(struct jscan *s)
{
    s->_at = skip_space(s->_at + 1, s->_end);
    s->_state = s->_at == s->_end ? JSCAN_DONE : JSCAN_FAILED;
    return false;
}

bool jscan_member(struct jscan *s, struct jscan_value *key, struct jscan_value *value)
{
    const char *at;
    if (s->_state == JSCAN_DONE || s->_state == JSCAN_FAILED)
        return false;
    at = s->_at = skip_space(s->_at, s->_end);
    if (at < s->_end && *at == '}')
        return finish(s);
    if (s->_state == JSCAN_NEXT && (at >= s->_end || *at++ != ',')) {
        s->_state = JSCAN_FAILED;
        return false;
    }
    at = scan_key(at, s->_end, key);
    if (at)
        at = scan_value(at, s->_end, value);
    s->_state = at ? JSCAN_NEXT : JSCAN_FAILED;
    s->_at = at;
    return at != NULL;
}

bool jscan_ok(const struct jscan *s)
{
    return s->_state == JSCAN_DONE;
}

/* One \uXXXX, or the pair of them that makes a character past FFFF. Returns bytes written, 0 if it
 * cannot be C text. */
static size_t put_unicode(const char **at, const char *end, char out[4])
{
    uint32_t c = (uint32_t)hex4(*at);
    *at += 4;
    if (c >= 0xD800 && c < 0xDC00) {
        int low = end - *at >= 6 && (*at)[0] == '\\' && (*at)[1] == 'u' ? hex4(*at + 2) : -1;
        if (low < 0xDC00 || low > 0xDFFF)
            return 0;
        c = 0x10000 + ((c - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
        *at += 6;
    } else if (c >= 0xDC00 && c <= 0xDFFF) {
        return 0;
    }
    if (c == 0)
        return 0;
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

static char unescaped(char c)
{
    switch (c) {
    case 'b': return '\b';
    case 'f': return '\f';
    case 'n': return '\n';
    case 'r': return '\r';
    case 't': return '\t';
    default: return c;
    }
}

bool jscan_copy(const struct jscan_value *v, char *out, size_t size)
{
    const char *at = v->at, *end = v->at + v->len;
    size_t n = 0;
    if (v->kind != JSCAN_STRING || size == 0)
        return false;
    while (at < end) {
        char utf8[4];
        size_t len = 1;
        if (*at != '\\') {
            utf8[0] = *at++;
        } else if (at[1] == 'u') {
            at += 2;
            len = put_unicode(&at, end, utf8);
        } else {
            utf8[0] = unescaped(at[1]);
            at += 2;
        }
        if (len == 0 || n + len >= size)
            return false;
        memcpy(out + n, utf8, len);
        n += len;
    }
    out[n] = '\0';
    return true;
}

bool jscan_is_escaped(const struct jscan_value *v, const char *text)
{
    char plain[64];
    return jscan_copy(v, plain, sizeof plain) && strcmp(plain, text) == 0;
}

bool jscan_base64(struct jscan_value *v)
{
    char *text = (char *)(uintptr_t)v->at;
    if (v->kind != JSCAN_STRING)
        return false;
    if (!v->escaped)
        return true; /* no quote, no backslash, no control byte: it cannot break a JSON string */
    /* a resolved text is shorter than the escaped one, so it fits where it stood */
    if (!jscan_copy(v, text, v->len))
        return false;
    v->len = strlen(text);
    v->escaped = false;
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == v->len;
}

static bool digits(const char *at, size_t len, uint64_t *out)
{
    uint64_t n = 0;
    if (len == 0 || len > DIGITS_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (at[i] < '0' || at[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(at[i] - '0');
    }
    *out = n;
    return true;
}

bool jscan_uint(const struct jscan_value *v, uint64_t *out)
{
    char plain[DIGITS_MAX + 1];
    if (v->kind == JSCAN_STRING && v->escaped)
        return jscan_copy(v, plain, sizeof plain) && digits(plain, strlen(plain), out);
    return (v->kind == JSCAN_STRING || v->kind == JSCAN_NUMBER) && digits(v->at, v->len, out);
}
