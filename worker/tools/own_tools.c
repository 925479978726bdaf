#include "worker/tools/own_tools.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/base/foreign_json.h"
#include "common/base/log.h"
#include "worker/tools/tools.h"

enum { NAME_MAX_LEN = 64 };

static bool name_good(const char *name)
{
    size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
    return len > 0 && len <= NAME_MAX_LEN && name[len] == '\0';
}

/* Those that HTTP itself needs, and the one by which a repetition is known. */
static bool header_ours(const char *name)
{
    static const char *const ours[] = {"Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect",
                                       "Idempotency-Key", "Content-Type"};
    for (size_t i = 0; i < ARRAY_LEN(ours); i++) {
        if (strcasecmp(ours[i], name) == 0)
            return true;
    }
    return false;
}

static const char *check_headers(const json_t *headers)
{
    const char *name;
    json_t *value;
    if (headers && (!json_is_object(headers) || json_object_size(headers) > OWN_TOOL_HEADERS_MAX))
        return "headers is not an object of at most 16";
    json_object_foreach((json_t *)(uintptr_t)headers, name, value) {
        if (!name_good(name) || !json_is_string(value) || strpbrk(json_string_value(value), "\r\n"))
            return "a header has no good name or value";
        if (header_ours(name))
            return "a header is set by the worker itself";
    }
    return NULL;
}

static const char *check(const struct own_tool *t)
{
    const char *type = json_string_value(json_object_get(t->parameters, "type"));
    if (!t->name || !name_good(t->name))
        return "name is not 1 to 64 letters, digits, _ and -";
    if (tool_named(t->name) != TOOL_NONE)
        return "a built-in tool has this name";
    if (!t->url)
        return "url is missing";
    if (t->parameters && (!type || strcmp(type, "object") != 0))
        return "parameters is not a JSON schema of type object";
    if (strcmp(t->method, "POST") != 0 && strcmp(t->method, "PUT") != 0 && strcmp(t->method, "PATCH") != 0)
        return "method is not POST, PUT or PATCH";
    if (t->timeout_ms < 1 || t->timeout_ms > OWN_TOOL_TIMEOUT_MAX_MS)
        return "timeout_ms is not from 1 to 20000";
    return check_headers(t->headers);
}

static const char *text_or(const json_t *entry, const char *name, const char *fallback)
{
    const json_t *value = json_object_get(entry, name);
    return value ? json_string_value(value) : fallback;
}

/* Borrows the entry. NULL, or why it cannot be used. */
static const char *take(struct own_tool *t, json_t *entry)
{
    const json_t *timeout = json_object_get(entry, "timeout_ms");
    *t = (struct own_tool){
        .entry = entry,
        .name = text_or(entry, "name", NULL),
        .description = text_or(entry, "description", ""),
        .url = text_or(entry, "url", NULL),
        .method = text_or(entry, "method", "POST"),
        .parameters = json_object_get(entry, "parameters"),
        .headers = json_object_get(entry, "headers"),
        .timeout_ms = timeout ? json_integer_value(timeout) : OWN_TOOL_TIMEOUT_MS,
    };
    return t->description && t->method ? check(t) : "description or method is not a text";
}

static json_t *describe(const struct own_tool *t)
{
    json_t *parameters = t->parameters ? json_deep_copy(t->parameters) : json_pack("{s:s, s:{}}", "type", "object", "properties");
    return json_pack("{s:s, s:s, s:s, s:o}", "type", "function", "name", t->name, "description", t->description,
                     "parameters", parameters);
}

static bool described(const json_t *tools, const char *name)
{
    const json_t *tool;
    size_t i;
    json_array_foreach(tools, i, tool) {
        if (strcmp(json_string_value(json_object_get(tool, "name")), name) == 0)
            return true;
    }
    return false;
}

void own_tools_describe(const char *call_sid, const char *tools_json, json_t *into)
{
    json_t *tools = foreign_json_text(tools_json), *entry;
    size_t i;
    if (*tools_json && !json_is_array(tools))
        log_warn(call_sid, "tools of the business are not a JSON array");
    json_array_foreach(tools, i, entry) {
        struct own_tool tool;
        const char *wrong = i < OWN_TOOLS_MAX ? take(&tool, entry) : "there are more than 32";
        if (!wrong && described(into, tool.name))
            wrong = "another tool has this name";
        if (wrong)
            log_warn(call_sid, "tool of the business left out", log_str("tool", text_or(entry, "name", "")),
                     log_int("index", (int64_t)i), log_str("why", wrong));
        else
            json_array_append_new(into, describe(&tool));
    }
    json_decref(tools);
}

bool own_tool_find(const char *tools_json, const char *name, struct own_tool *out)
{
    json_t *tools = foreign_json_text(tools_json), *entry;
    bool found = false;
    size_t i;
    json_array_foreach(tools, i, entry) {
        found = i < OWN_TOOLS_MAX && !take(out, entry) && strcmp(out->name, name) == 0;
        if (found) {
            json_incref(entry);
            break;
        }
    }
    json_decref(tools);
    return found;
}

void own_tool_release(struct own_tool *tool)
{
    json_decref(tool->entry);
}

char *own_tool_body(const struct own_tool *tool, const char *call_sid, const char *arguments)
{
    json_t *args = NULL, *body = NULL;
    char *text = NULL;
    if (!arguments || !*arguments)
        arguments = "{}";
    if (strlen(arguments) <= OWN_TOOL_ARGUMENTS_MAX)
        args = foreign_json_text(arguments);
    if (json_is_object(args))
        body = json_pack("{s:s, s:s, s:O}", "call_sid", call_sid, "tool", tool->name, "arguments", args);
    if (body)
        text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    json_decref(args);
    return text;
}

json_t *own_tool_output(const char *body, size_t len, bool cut)
{
    json_t *result, *output;
    while (cut && len > 0 && ((unsigned char)body[len - 1] & 0xC0) == 0x80)
        len--;
    if (cut && len > 0 && (unsigned char)body[len - 1] >= 0xC0)
        len--; /* the last character may not be whole */
    result = cut ? NULL : foreign_json(body, len, JSON_DECODE_ANY);
    if (!result && (len == 0 || !memchr(body, '\0', len)))
        result = json_stringn(body, len);
    output = result ? json_pack("{s:b, s:o}", "ok", 1, "result", result) : NULL;
    if (output && cut)
        json_object_set_new(output, "cut", json_true());
    return output;
}
