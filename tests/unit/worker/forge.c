#include "tests/unit/worker/forge.h"

#include <stdio.h>
#include <string.h>

uint32_t forge_below(struct forge *f, uint32_t n)
{
    f->seed ^= f->seed << 13;
    f->seed ^= f->seed >> 7;
    f->seed ^= f->seed << 17;
    return (uint32_t)(f->seed >> 32) % n;
}

static void put(struct forge *f, const char *text, size_t len)
{
    if (len > sizeof f->text - f->len)
        len = sizeof f->text - f->len;
    memcpy(f->text + f->len, text, len);
    f->len += len;
}

static void say(struct forge *f, const char *text)
{
    put(f, text, strlen(text));
}

static void space(struct forge *f)
{
    static const char *const some[] = {" ", "\n", "\t", "\r\n", "  \t "};
    if (!f->usual && forge_below(f, 8) == 0)
        say(f, some[forge_below(f, ARRAY_LEN(some))]);
}

static void put_escaped(struct forge *f, uint32_t c)
{
    char text[16];
    if (c >= 0x10000)
        snprintf(text, sizeof text, "\\u%04X\\u%04x", 0xD800 + ((c - 0x10000) >> 10), 0xDC00 + ((c - 0x10000) & 0x3FF));
    else
        snprintf(text, sizeof text, forge_below(f, 2) ? "\\u%04x" : "\\u%04X", c);
    say(f, text);
}

/* One character of UTF-8, which is known to be good. */
static const char *decode(const char *at, uint32_t *c)
{
    unsigned char first = (unsigned char)*at++;
    int more = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
    *c = more == 0 ? first : first & (0x3Fu >> more);
    while (more-- > 0)
        *c = *c << 6 | ((unsigned char)*at++ & 0x3F);
    return at;
}

static void put_string(struct forge *f, const char *text)
{
    uint32_t escapes = f->usual || forge_below(f, 4) ? 0 : 1 + forge_below(f, 40); /* none, or one in so many */
    say(f, "\"");
    while (*text) {
        uint32_t c;
        const char *next = decode(text, &c);
        if (c == '"' || c == '\\')
            put(f, c == '"' ? "\\\"" : "\\\\", 2);
        else if (c == '/' && escapes && forge_below(f, 2))
            say(f, "\\/");
        else if (c < 0x20 || (escapes && forge_below(f, escapes) == 0))
            put_escaped(f, c);
        else
            put(f, text, (size_t)(next - text));
        text = next;
    }
    say(f, "\"");
}

void forge_word(struct forge *f, const char *word)
{
    if (forge_below(f, 32) == 0)
        forge_anything(f, word);
    else
        put_string(f, word);
}

void forge_number(struct forge *f, const char *word)
{
    static const char *const odd[] = {"-1", "1.0", "1e3", "0", "00", "123456789012345678", "1234567890123456789", "", " 1", "0x1"};
    char text[32];
    snprintf(text, sizeof text, "%u", forge_below(f, 1u << forge_below(f, 31)));
    switch (forge_below(f, 16)) {
    case 0:
        forge_anything(f, word);
        break;
    case 1:
        put_string(f, odd[forge_below(f, ARRAY_LEN(odd))]);
        break;
    case 2:
        say(f, odd[forge_below(f, 6)]); /* "00" is no JSON: the whole text is bad then */
        break;
    default:
        if (forge_below(f, 2))
            put_string(f, text);
        else
            say(f, text);
    }
}

void forge_base64(struct forge *f, const char *word)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char text[4096];
    size_t len = 4 * forge_below(f, forge_below(f, 16) ? 80 : sizeof text / 4 - 1);
    if (forge_below(f, 24) == 0) {
        forge_anything(f, word);
        return;
    }
    for (size_t i = 0; i < len; i++)
        text[i] = digits[forge_below(f, 64)];
    if (len > 0 && forge_below(f, 4) == 0)
        text[len - 1] = '=';
    if (len > 0 && forge_below(f, 24) == 0)
        text[forge_below(f, (uint32_t)len)] = " \"\\-_~\n"[forge_below(f, 7)];
    text[len] = '\0';
    put_string(f, text);
}

static void put_anything(struct forge *f, int depth)
{
    static const char *const scalars[] = {
        "null", "true", "false", "0", "-12", "3.25", "1e3", "-1.5E-2", "18446744073709551", "\"\"", "\"inbound\"", "\"media\"",
        "\"\\ud83d\\ude00\"", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\u0000\"", "{}", "[]",
    };
    static const char *const words[] = {"", "a", "x/y", "\xC3\xA9t\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80!", "line\nline",
                                        "long enough that eight bytes at a time are read", "\"quoted\" and \\ back"};
    uint32_t kind = forge_below(f, depth > 0 ? 4 : 2), members = forge_below(f, 4);
    if (kind == 0) {
        say(f, scalars[forge_below(f, ARRAY_LEN(scalars))]);
        return;
    }
    if (kind == 1) {
        put_string(f, words[forge_below(f, ARRAY_LEN(words))]);
        return;
    }
    say(f, kind == 2 ? "{" : "[");
    for (uint32_t i = 0; i < members; i++) {
        space(f);
        if (kind == 2) {
            put_string(f, words[forge_below(f, ARRAY_LEN(words))]);
            space(f);
            say(f, ":");
            space(f);
        }
        put_anything(f, depth - 1);
        space(f);
        say(f, i + 1 < members ? "," : "");
    }
    say(f, kind == 2 ? "}" : "]");
}

/* Now and then deeper than anybody reads. */
void forge_anything(struct forge *f, const char *word)
{
    (void)word;
    if (forge_below(f, 64) == 0) {
        uint32_t depth = 1 + forge_below(f, 40);
        for (uint32_t i = 0; i < depth; i++)
            say(f, "[");
        for (uint32_t i = 0; i < depth; i++)
            say(f, "]");
        return;
    }
    put_anything(f, 3);
}

static void put_member(struct forge *f, const struct forge_field *field, bool first)
{
    if (!first)
        say(f, ",");
    space(f);
    put_string(f, field->key);
    space(f);
    say(f, ":");
    space(f);
    field->value(f, field->word);
    space(f);
}

/* Some are missing, some come twice, some nobody knows. */
static size_t choose(struct forge *f, const struct forge_field *fields, size_t count, const struct forge_field **chosen)
{
    static const struct forge_field unknown[] = {
        {"x", forge_anything, NULL}, {"Event", forge_anything, NULL}, {"", forge_anything, NULL}, {"event ", forge_anything, NULL}};
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        if (forge_below(f, 24) == 0)
            continue;
        chosen[n++] = &fields[i];
        if (forge_below(f, 48) == 0)
            chosen[n++] = &fields[i];
    }
    for (uint32_t extra = forge_below(f, 4) ? 0 : forge_below(f, 4); extra > 0; extra--)
        chosen[n++] = &unknown[forge_below(f, ARRAY_LEN(unknown))];
    for (size_t i = n; forge_below(f, 2) && i > 1; i--) { /* as it should be, or shuffled from the end on for a while */
        size_t other = forge_below(f, (uint32_t)i);
        const struct forge_field *one = chosen[i - 1];
        chosen[i - 1] = chosen[other];
        chosen[other] = one;
    }
    return n;
}

void forge_object(struct forge *f, const struct forge_field *fields, size_t count)
{
    const struct forge_field *chosen[2 * FORGE_FIELDS_MAX];
    size_t n = f->usual ? count : choose(f, fields, count, chosen);
    say(f, "{");
    for (size_t i = 0; i < n; i++)
        put_member(f, f->usual ? &fields[i] : chosen[i], i == 0);
    space(f);
    say(f, "}");
}

void forge_spoil(struct forge *f)
{
    static const char likely[] = "\"\\{}[]:,0u/ \n\x01";
    uint32_t changes = 1 + forge_below(f, 3);
    if (f->len == 0)
        return;
    if (forge_below(f, 4) == 0) {
        f->len = forge_below(f, (uint32_t)f->len);
        return;
    }
    for (uint32_t i = 0; i < changes; i++) {
        uint32_t at = forge_below(f, (uint32_t)f->len), n = 1 + forge_below(f, 8);
        n = n < f->len - at ? n : (uint32_t)(f->len - at);
        switch (forge_below(f, 3)) {
        case 0: /* another byte */
            f->text[at] = forge_below(f, 4) ? likely[forge_below(f, sizeof likely - 1)] : (char)forge_below(f, 256);
            break;
        case 1: /* some are missing */
            memmove(f->text + at, f->text + at + n, f->len - at - n);
            f->len -= n < f->len ? n : 0;
            break;
        default: /* some come twice */
            if (f->len + n > sizeof f->text)
                break;
            memmove(f->text + at + n, f->text + at, f->len - at);
            f->len += n;
            break;
        }
    }
}
