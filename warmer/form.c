#include "warmer/form.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/utf8.h"
#include "warmer/wrong.h"

/* Decodes len bytes in place, adds a NUL, and tells whether they were good. The result is never
 * longer than its source, so text[len] is the furthest byte written: the separator's own place. */
static const char *decode(char *text, size_t len)
{
    size_t to = 0;
    for (size_t from = 0; from < len; from++) {
        char c = text[from] == '+' ? ' ' : text[from];
        if (c == '%') {
            int high = from + 2 < len ? hex_digit(text[from + 1]) : -1;
            int low = high >= 0 ? hex_digit(text[from + 2]) : -1;
            if (low < 0)
                return "the form has a broken %XX";
            c = (char)(high * 16 + low);
            from += 2;
        }
        if (c == '\0')
            return "the form has a NUL byte";
        text[to++] = c;
    }
    text[to] = '\0';
    return NULL;
}

static const char *add_field(struct form *form, char *text, size_t len)
{
    char *equals = memchr(text, '=', len);
    size_t name_len = equals ? (size_t)(equals - text) : len;
    char *value = equals ? equals + 1 : text + len;
    const char *wrong;
    if (len == 0)
        return NULL;
    if (form->count == FORM_FIELDS_MAX)
        return "the form has too many fields";
    wrong = equals ? decode(value, len - name_len - 1) : NULL;
    if (!wrong)
        wrong = decode(text, name_len);
    if (wrong)
        return wrong;
    /* Without '=' the value is the empty text at the name's end. */
    form->fields[form->count++] = (struct form_field){text, equals ? value : text + strlen(text)};
    form->spoilt = form->spoilt || !utf8_valid(form->fields[form->count - 1].value) || !utf8_valid(text);
    return NULL;
}

/* How many fields there will be, at most. */
static size_t count_fields(const char *body, size_t len)
{
    size_t count = 1;
    for (const char *at = body; (at = memchr(at, '&', len - (size_t)(at - body))) && count < FORM_FIELDS_MAX; at++)
        count++;
    return count;
}

static char *allocate(struct form *form, size_t fields, size_t text)
{
    form->fields = form->_memory = malloc(fields * sizeof form->fields[0] + text);
    return form->fields ? (char *)(form->fields + fields) : NULL;
}

const char *form_parse(struct form *form, const char *body, size_t len)
{
    const char *wrong = NULL;
    char *at, *end;
    *form = (struct form){.count = 0};
    if (len > FORM_BYTES_MAX)
        return "the form is too large";
    at = allocate(form, count_fields(body, len), len + 1);
    if (!at)
        return NO_MEMORY;
    memcpy(at, body, len);
    for (end = at + len; at < end && !wrong;) {
        char *stop = memchr(at, '&', (size_t)(end - at));
        if (!stop)
            stop = end;
        wrong = add_field(form, at, (size_t)(stop - at));
        at = stop + 1;
    }
    return wrong;
}

void form_release(struct form *form)
{
    free(form->_memory);
    *form = (struct form){.count = 0};
}

void form_mend(struct form *form)
{
    for (size_t i = 0; form->spoilt && i < form->count; i++) {
        utf8_mend((char *)(uintptr_t)form->fields[i].name);
        utf8_mend((char *)(uintptr_t)form->fields[i].value);
    }
    form->spoilt = false;
}

const char *form_get(const struct form *form, const char *name)
{
    for (size_t i = 0; i < form->count; i++) {
        const char *given = form->fields[i].name;
        if (*given == *name && strcmp(given, name) == 0)
            return form->fields[i].value;
    }
    return "";
}
