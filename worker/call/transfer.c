#include "worker/call/transfer.h"

#include <string.h>
#include <strings.h>

#include "common/base/foreign_json.h"

/* Only + and digits stay. */
static bool clean(char out[TRANSFER_NUMBER_SIZE], const char *text)
{
    size_t len = 0;
    for (; *text; text++) {
        if (strchr(" -()./", *text))
            continue;
        if (len == TRANSFER_NUMBER_SIZE - 1 || (*text == '+' ? len > 0 : *text < '0' || *text > '9'))
            return false;
        out[len++] = *text;
    }
    out[len] = '\0';
    return len > 1 && len - (*out == '+') < TRANSFER_NUMBER_SIZE - 1;
}

json_t *transfer_places(const char *number, const char *numbers_json)
{
    json_t *numbers = foreign_json_text(numbers_json), *value, *places = json_array();
    char one[TRANSFER_NUMBER_SIZE];
    bool any = clean(one, number);
    const char *name;
    json_object_foreach(numbers, name, value) {
        if (json_is_string(value) && clean(one, json_string_value(value)))
            json_array_append_new(places, json_string(name));
    }
    any = any || json_array_size(places) > 0;
    json_decref(numbers);
    if (!any) {
        json_decref(places);
        return NULL;
    }
    return places;
}

static bool same_number(const char *a, const char *b)
{
    char x[TRANSFER_NUMBER_SIZE], y[TRANSFER_NUMBER_SIZE];
    return clean(x, a) && clean(y, b) && strcmp(x, y) == 0;
}

static const char *find(const json_t *numbers, const char *to)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)numbers, name, value) {
        const char *number = json_string_value(value);
        if (number && (strcasecmp(name, to) == 0 || same_number(number, to)))
            return number;
    }
    return NULL;
}

bool transfer_pick(const char *number, const char *numbers_json, const char *to, char out[TRANSFER_NUMBER_SIZE])
{
    json_t *numbers = foreign_json_text(numbers_json);
    const char *found = find(numbers, to);
    bool good;
    if (!found && (*to == '\0' || json_object_size(numbers) == 0 || same_number(number, to)))
        found = *number || json_object_size(numbers) != 1
                    ? number
                    : json_string_value(json_object_iter_value(json_object_iter(numbers)));
    good = found && clean(out, found);
    json_decref(numbers);
    return good;
}
