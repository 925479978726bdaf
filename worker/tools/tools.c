#include "worker/tools/tools.h"

#include <stdio.h>
#include <string.h>

#include "common/base/foreign_json.h"

enum { LENGTH_MINUTES_DEFAULT = 30, LENGTH_MINUTES_MAX = 24 * 60 };

#define ISO_TIME "\"description\":\"ISO 8601 with offset, such as 2026-11-24T10:00:00+02:00\""

static const struct {
    const char *name;
    const char *description;
    const char *parameters; /* JSON schema */
} table[] = {
    [TOOL_SET_CUSTOMER_NAME] =
        {"set_customer_name", "Remember the caller's name as soon as they have told it.",
         "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"description\":\"full name as "
         "spoken\"}},\"required\":[\"name\"]}"},
    [TOOL_UPDATE_CUSTOMER] =
        {"update_customer",
         "Remember something about the caller: the e-mail address, once they have confirmed its spelling, or a note "
         "that is added to what is known about them.",
         "{\"type\":\"object\",\"properties\":{\"email\":{\"type\":\"string\"},\"notes\":{\"type\":\"string\","
         "\"description\":\"one or two sentences\"}},\"required\":[]}"},
    [TOOL_CHECK_AVAILABILITY] =
        {"check_availability",
         "Look up free times for an appointment, before you offer any. Give either a date, or from and to.",
         "{\"type\":\"object\",\"properties\":{\"date\":{\"type\":\"string\",\"description\":\"a day, such as "
         "2026-11-24\"},\"from\":{\"type\":\"string\"," ISO_TIME "},\"to\":{\"type\":\"string\"," ISO_TIME "},"
         "\"duration_minutes\":{\"type\":\"integer\"}},\"required\":[]}"},
    [TOOL_BOOK_APPOINTMENT] =
        {"book_appointment", "Book an appointment once the caller has agreed to a time.",
         "{\"type\":\"object\",\"properties\":{\"starts_at\":{\"type\":\"string\"," ISO_TIME "},"
         "\"duration_minutes\":{\"type\":\"integer\"},\"title\":{\"type\":\"string\"},\"notes\":{\"type\":\"string\"}},"
         "\"required\":[\"starts_at\",\"title\"]}"},
    [TOOL_TAKE_MESSAGE] =
        {"take_message", "Take a message for the business, after having read it back to the caller.",
         "{\"type\":\"object\",\"properties\":{\"message\":{\"type\":\"string\"},\"callback_number\":{\"type\":"
         "\"string\",\"description\":\"only if it is not the number they call from\"}},\"required\":[\"message\"]}"},
    [TOOL_TRANSFER_CALL] =
        {"transfer_call", "Connect the caller with a person. First say that you do; this ends your part of the call.",
         "{\"type\":\"object\",\"properties\":{\"to\":{\"type\":\"string\",\"description\":\"whom\"},\"reason\":{"
         "\"type\":\"string\"}},\"required\":[\"reason\"]}"},
    [TOOL_END_CALL] =
        {"end_call", "Hang up, after having said goodbye.",
         "{\"type\":\"object\",\"properties\":{\"reason\":{\"type\":\"string\"}},\"required\":[]}"},
};

/* The names are said once, where the model must choose from them. */
static void name_places(json_t *parameters, const json_t *places)
{
    json_t *properties = json_object_get(parameters, "properties");
    if (json_array_size(places) == 0)
        json_object_del(properties, "to");
    else
        json_object_set_new(json_object_get(properties, "to"), "enum", json_deep_copy(places));
}

json_t *tools_describe(const json_t *places)
{
    json_t *tools = json_array();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        json_t *parameters = json_loads(table[i].parameters, 0, NULL);
        if (i == TOOL_TRANSFER_CALL && places)
            name_places(parameters, places);
        if (i == TOOL_TRANSFER_CALL && !places)
            json_decref(parameters);
        else
            json_array_append_new(tools, json_pack("{s:s, s:s, s:s, s:o}", "type", "function", "name", table[i].name,
                                                   "description", table[i].description, "parameters", parameters));
    }
    return tools;
}

enum tool tool_named(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        if (strcmp(name, table[i].name) == 0)
            return (enum tool)i;
    }
    return TOOL_NONE;
}

/* false if there is nothing in it that could be said. */
static bool take(char *out, size_t size, const json_t *args, const char *name)
{
    const char *text = json_string_value(json_object_get(args, name));
    size_t len = text ? strlen(text) : 0;
    if (len >= size) {
        len = size - 1;
        while (len > 0 && ((unsigned char)text[len] & 0xC0) == 0x80)
            len--; /* not in the middle of a character */
    }
    snprintf(out, size, "%.*s", (int)len, text ? text : "");
    return out[strspn(out, " \t\r\n")] != '\0';
}

static const char *parse_customer(const json_t *args, struct tool_request *out)
{
    const char *at;
    bool email = take(out->email, sizeof out->email, args, "email");
    bool notes = take(out->notes, sizeof out->notes, args, "notes");
    if (!email && !notes)
        return "give email or notes";
    at = strchr(out->email, '@');
    if (email && (!at || at == out->email || !at[1] || strchr(at + 1, '@') || strpbrk(out->email, " \t\r\n<>,;")))
        return "that is not an e-mail address: ask the caller to spell it";
    return NULL;
}

static const char *parse_length(const json_t *args, struct tool_request *out)
{
    const json_t *duration = json_object_get(args, "duration_minutes");
    json_int_t minutes = duration ? json_integer_value(duration) : LENGTH_MINUTES_DEFAULT;
    out->length_s = minutes * 60;
    return minutes < 1 || minutes > LENGTH_MINUTES_MAX ? "duration_minutes must be a whole number from 1 to 1440" : NULL;
}

static bool take_time(int64_t *seconds, const json_t *args, const char *name)
{
    const char *text = json_string_value(json_object_get(args, name));
    return text && iso_time_parse(text, seconds);
}

static const char *parse_availability(const json_t *args, struct tool_request *out)
{
    bool date = take(out->date, sizeof out->date, args, "date");
    if (!date && (!take_time(&out->time.from, args, "from") || !take_time(&out->time.to, args, "to")))
        return "give a date such as 2026-11-24, or from and to in ISO 8601 with an offset, such as "
               "2026-11-24T10:00:00+02:00";
    if (!date && out->time.to <= out->time.from)
        return "to must be later than from";
    return parse_length(args, out);
}

static const char *parse_appointment(const json_t *args, struct tool_request *out)
{
    const char *wrong = parse_length(args, out);
    if (!take_time(&out->time.from, args, "starts_at"))
        return "starts_at must be ISO 8601 with an offset, such as 2026-11-24T10:00:00+02:00";
    out->time.to = out->time.from + out->length_s;
    take(out->title, sizeof out->title, args, "title");
    take(out->notes, sizeof out->notes, args, "notes");
    return wrong;
}

static const char *parse_arguments(const json_t *args, struct tool_request *out)
{
    switch (out->tool) {
    case TOOL_SET_CUSTOMER_NAME:
        return take(out->name, sizeof out->name, args, "name") ? NULL : "name is empty: ask the caller for it";
    case TOOL_UPDATE_CUSTOMER:
        return parse_customer(args, out);
    case TOOL_CHECK_AVAILABILITY:
        return parse_availability(args, out);
    case TOOL_BOOK_APPOINTMENT:
        return parse_appointment(args, out);
    case TOOL_TAKE_MESSAGE:
        take(out->callback, sizeof out->callback, args, "callback_number");
        return take(out->message, sizeof out->message, args, "message") ? NULL : "message is empty: ask the caller for it";
    case TOOL_TRANSFER_CALL:
        take(out->to, sizeof out->to, args, "to");
        take(out->reason, sizeof out->reason, args, "reason");
        return NULL;
    case TOOL_END_CALL:
        take(out->reason, sizeof out->reason, args, "reason");
        return NULL;
    case TOOL_NONE:
        break;
    }
    return "there is no such tool";
}

const char *tool_parse(const char *name, const char *arguments, struct tool_request *out)
{
    json_t *args = foreign_json_text(arguments && *arguments ? arguments : "{}");
    const char *wrong = "the arguments are not a JSON object";
    memset(out, 0, sizeof *out);
    out->tool = tool_named(name);
    if (json_is_object(args))
        wrong = parse_arguments(args, out);
    json_decref(args);
    return wrong;
}
