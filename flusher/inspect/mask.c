#include "flusher/inspect/mask.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/utf8.h"

/* Fewer digits are a date, a price, a count. */
enum { PHONE_DIGITS_MIN = 7, NAME_MIN_BYTES = 2 };

static bool knows(const struct mask *m, const char *name, size_t len)
{
    for (size_t i = 0; i < m->_count; i++) {
        if (strlen(m->_names[i]) == len && strncasecmp(m->_names[i], name, len) == 0)
            return true;
    }
    return false;
}

static void add(struct mask *m, const char *name, size_t len)
{
    size_t at = m->_count;
    char *copy;
    if (len < NAME_MIN_BYTES || m->_count == MASK_NAMES_MAX || knows(m, name, len) || !(copy = strndup(name, len)))
        return;
    for (; at > 0 && strlen(m->_names[at - 1]) < len; at--)
        m->_names[at] = m->_names[at - 1];
    m->_names[at] = copy;
    m->_count++;
}

void mask_learn(struct mask *mask, const char *name)
{
    add(mask, name, strlen(name));
    while (*name) {
        size_t len = strcspn(name, " ");
        add(mask, name, len);
        name += len + strspn(name + len, " ");
    }
}

void mask_learn_field(struct mask *mask, const char *field, const char *value)
{
    static const char *const names[] = {"lead_first_name", "lead_last_name", "lead_full_name",
                                        "first_name",      "last_name",      "full_name"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(field, names[i]) == 0)
            mask_learn(mask, value);
    }
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Bytes of the name that stands here as a whole word; 0: none. */
static size_t name_at(const struct mask *m, const char *text, const char *at)
{
    if (at > text && is_word(at[-1]))
        return 0;
    for (size_t i = 0; i < m->_count; i++) {
        size_t len = strlen(m->_names[i]);
        if (strncasecmp(at, m->_names[i], len) == 0 && !is_word(at[len]))
            return len;
    }
    return 0;
}

/* 2026-11-26 */
static bool is_date(const char *at)
{
    static const char form[] = "dddd-dd-dd";
    for (size_t i = 0; i < sizeof form - 1; i++) {
        if (form[i] == 'd' ? !isdigit((unsigned char)at[i]) : at[i] != form[i])
            return false;
    }
    return true;
}

/* A number as it is written or said: +1 (415) 555-0123. A call_sid, a stream id or a time is none. */
static size_t phone_at(const char *text, const char *at)
{
    size_t digits = 0, len = 0, end = 0;
    if ((at > text && is_word(at[-1])) || is_date(at) ||
        !(isdigit((unsigned char)*at) || (*at == '+' && isdigit((unsigned char)at[1]))))
        return 0;
    for (; at[len] && strchr("+0123456789 ()-.", at[len]); len++) {
        if (isdigit((unsigned char)at[len])) {
            digits++;
            end = len + 1;
        }
    }
    return digits >= PHONE_DIGITS_MIN && !is_word(at[end]) && (*at == '+' || digits <= 12) ? end : 0;
}

static size_t email_at(const char *text, const char *at)
{
    static const char local[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._%+-";
    size_t name = strspn(at, local), host;
    if ((at > text && strchr(local, at[-1])) || name == 0 || at[name] != '@')
        return 0;
    host = strspn(at + name + 1, local);
    return host > 0 ? name + 1 + host : 0;
}

/* The first character, and for a number what log_phone shows of it. */
static void put_masked(FILE *out, const char *at, size_t len, bool phone)
{
    size_t first = utf8_length(at);
    if (phone && len >= 10)
        fprintf(out, "%.4s***%.2s", at, at + len - 2);
    else if (phone)
        fprintf(out, "***");
    else
        fprintf(out, "%.*s***", (int)(first ? first : 1), at);
}

char *mask_text(const struct mask *mask, const char *text)
{
    char *masked = NULL;
    size_t size, len;
    FILE *out;
    if (mask->off)
        return strdup(text);
    out = open_memstream(&masked, &size);
    if (!out)
        return NULL;
    for (const char *at = text; *at; at += len) {
        bool phone = false;
        len = email_at(text, at);
        if (len == 0)
            len = name_at(mask, text, at);
        if (len == 0) {
            len = phone_at(text, at);
            phone = len > 0;
        }
        if (len > 0)
            put_masked(out, at, len, phone);
        else
            fputc(*at, out), len = 1;
    }
    fclose(out);
    return masked;
}

void mask_release(struct mask *mask)
{
    for (size_t i = 0; i < mask->_count; i++)
        free(mask->_names[i]);
    memset(mask, 0, sizeof *mask);
}
