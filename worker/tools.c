#include "worker/tools.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum { APPOINTMENT_MINUTES_DEFAULT = 30, APPOINTMENT_MINUTES_MAX = 24 * 60 };

static const struct {
    const char *name;
    const char *description;
    const char *parameters; /* JSON schema */
} table[] = {
    [TOOL_SET_CUSTOMER_NAME] =
        {"set_customer_name", "Remember the caller's name as soon as they have told it.",
         "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"description\":\"full name as "
         "spoken\"}},\"required\":[\"name\"]}"},
    [TOOL_BOOK_APPOINTMENT] =
        {"book_appointment", "Book an appointment once the caller has agreed to a time.",
         "{\"type\":\"object\",\"properties\":{\"starts_at\":{\"type\":\"string\",\"description\":\"ISO 8601 with "
         "offset, such as 2026-11-24T10:00:00+02:00\"},\"duration_minutes\":{\"type\":\"integer\"},\"title\":{"
         "\"type\":\"string\"},\"notes\":{\"type\":\"string\"}},\"required\":[\"starts_at\",\"title\"]}"},
    [TOOL_END_CALL] =
        {"end_call", "Hang up, after having said goodbye.",
         "{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":\"string\"}},\"required\":[]}"},
};

json_t *tools_describe(void)
{
    json_t *tools = json_array();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_array_append_new(tools, json_pack("{s:s, s:s, s:s, s:o}", "type", "function", "name", table[i].name,
                                               "description", table[i].description, "parameters",
                                               json_loads(table[i].parameters, 0, NULL)));
    }
    return tools;
}

bool iso_time_parse(const char *text, int64_t *seconds)
{
    struct tm tm = {0};
    int hours = 0, minutes = 0, used = 0;
    char sign[2] = "+";
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M", &tm);
    if (!rest)
        return false;
    if (*rest == ':' && !(rest = strptime(rest, ":%S", &tm)))
        return false;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (strcmp(rest, "Z") != 0) {
        if (sscanf(rest, "%1[+-]%2d:%2d%n", sign, &hours, &minutes, &used) != 3 || rest[used] || hours > 14 ||
            minutes > 59)
            return false;
    }
    *seconds = (int64_t)timegm(&tm) - (*sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

void iso_time_format(char out[TOOL_TIME_SIZE], int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    gmtime_r(&t, &tm);
    strftime(out, TOOL_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void take(char out[TOOL_TEXT_SIZE], const json_t *args, const char *name)
{
    const char *text = json_string_value(json_object_get(args, name));
    size_t len = text ? strlen(text) : 0;
    if (len >= TOOL_TEXT_SIZE) {
        len = TOOL_TEXT_SIZE - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--; /* not in the middle of a character */
    }
    snprintf(out, TOOL_TEXT_SIZE, "%.*s", (int)len, text ? text : "");
}

static const char *parse_name(const json_t *args, struct tool_request *out)
{
    take(out->name, args, "name");
    return out->name[strspn(out->name, " \t\r\n")] ? NULL : "name is empty: ask the caller for it";
}

static const char *parse_appointment(const json_t *args, struct tool_request *out)
{
    const char *starts_at = json_string_value(json_object_get(args, "starts_at"));
    const json_t *duration = json_object_get(args, "duration_minutes");
    json_int_t minutes = duration ? json_integer_value(duration) : APPOINTMENT_MINUTES_DEFAULT;
    if (!starts_at || !iso_time_parse(starts_at, &out->starts_s))
        return "starts_at must be ISO 8601 with an offset, such as 2026-11-24T10:00:00+02:00";
    if (minutes < 1 || minutes > APPOINTMENT_MINUTES_MAX)
        return "duration_minutes must be a whole number from 1 to 1440";
    take(out->title, args, "title");
    take(out->notes, args, "notes");
    out->ends_s = out->starts_s + minutes * 60;
    iso_time_format(out->starts_at, out->starts_s);
    iso_time_format(out->ends_at, out->ends_s);
    return NULL;
}

static const char *parse_arguments(const json_t *args, struct tool_request *out)
{
    switch (out->tool) {
    case TOOL_SET_CUSTOMER_NAME:
        return parse_name(args, out);
    case TOOL_BOOK_APPOINTMENT:
        return parse_appointment(args, out);
    case TOOL_END_CALL:
        take(out->reason, args, "reason");
        return NULL;
    case TOOL_NONE:
        break;
    }
    return "there is no such tool";
}

const char *tool_parse(const char *name, const char *arguments, struct tool_request *out)
{
    json_t *args = json_loads(arguments && *arguments ? arguments : "{}", 0, NULL);
    const char *wrong = "the arguments are not a JSON object";
    memset(out, 0, sizeof *out);
    out->tool = TOOL_NONE;
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(name, table[i].name) == 0)
            out->tool = (enum tool)i;
    }
    if (json_is_object(args))
        wrong = parse_arguments(args, out);
    json_decref(args);
    return wrong;
}

bool slots_overlap(const char *slots_json, int64_t starts_s, int64_t ends_s)
{
    json_t *slots = json_loads(slots_json, 0, NULL), *slot;
    bool overlap = false;
    size_t i;
    json_array_foreach(slots, i, slot) {
        const char *start = json_string_value(json_object_get(slot, "start"));
        const char *end = json_string_value(json_object_get(slot, "end"));
        int64_t from, to;
        if (start && end && iso_time_parse(start, &from) && iso_time_parse(end, &to))
            overlap = overlap || (from < ends_s && starts_s < to);
    }
    json_decref(slots);
    return overlap;
}
