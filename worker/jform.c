#include "worker/jform.h"

/* The digits of a whole number, as JSON writes it; 0 if there is none. */
static size_t number_at(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && at[n] >= '0' && at[n] <= '9')
        n++;
    return n > 1 && *at == '0' ? 0 : n;
}

bool jform_take(const struct jform_text *form, size_t texts, const char *text, size_t len, struct jscan_value *values)
{
    const char *at = text, *end = text + len;
    for (size_t i = 0; i < texts; i++) {
        const struct jform_text *next = &form[i];
        struct jscan_value *value = &values[i];
        if ((size_t)(end - at) < next->len || memcmp(at, next->text, next->len) != 0)
            return false;
        at += next->len;
        if (i == texts - 1)
            break;
        value->at = at;
        value->escaped = false;
        if (at[-1] == '"') {
            value->kind = JSCAN_STRING;
            at = jscan_special(at, end); /* its quote, which the next text begins with */
        } else {
            value->kind = JSCAN_NUMBER;
            at += number_at(at, end);
        }
        value->len = (size_t)(at - value->at);
        if (value->kind == JSCAN_NUMBER && value->len == 0)
            return false;
    }
    return at == end;
}
