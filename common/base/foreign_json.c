#include "common/base/foreign_json.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/hex.h"
#include "common/base/process.h"

enum { ESCAPE = 6 }; /* "\uXXXX" */

/* Of the UTF-16 unit that is escaped here; -1: another escape, or none. */
static int unit_at(const char *at, const char *end)
{
    return end - at >= ESCAPE && at[0] == '\\' && at[1] == 'u' ? hex4(at + 2) : -1;
}

/* The first escape from here on that is no text; NULL: there is none. */
static char *find_bad(char *at, const char *end)
{
    while ((at = memchr(at, '\\', (size_t)(end - at)))) {
        int unit = unit_at(at, end), next;
        if (unit < 0) {
            if (end - at <= 2)
                return NULL;
            at += 2;
        } else if (unit == 0 || (unit >= 0xDC00 && unit <= 0xDFFF)) {
            return at;
        } else if (unit >= 0xD800 && unit < 0xDC00) {
            next = unit_at(at + ESCAPE, end);
            if (next < 0xDC00 || next > 0xDFFF)
                return at;
            at += 2 * ESCAPE;
        } else {
            at += ESCAPE;
        }
    }
    return NULL;
}

static json_t *mended(const char *text, size_t len, size_t flags)
{
    char *copy = malloc(len);
    json_t *json;
    if (!copy)
        return NULL;
    memcpy(copy, text, len);
    for (char *at = find_bad(copy, copy + len); at; at = find_bad(at + ESCAPE, copy + len))
        memcpy(at + 2, "fffd", 4);
    json = json_loadb(copy, len, flags, NULL);
    free(copy);
    if (json)
        process_count(&process_metrics.texts_mended);
    return json;
}

json_t *foreign_json(const char *text, size_t len, size_t flags)
{
    if (len > 0 && find_bad((char *)(uintptr_t)text, text + len))
        return mended(text, len, flags);
    return json_loadb(text, len, flags, NULL);
}

json_t *foreign_json_text(const char *text)
{
    return text ? foreign_json(text, strlen(text), 0) : NULL;
}
