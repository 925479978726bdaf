/* The tools a business brings itself, from the field `tools` of a call's context:
 *
 *   [{"name": "find_order", "description": "...", "parameters": {JSON schema}, "url": "https://...",
 *     "method": "POST", "headers": {"Authorization": "..."}, "timeout_ms": 5000}]
 *
 * name and url are required. Reads and writes text only; call_web.c sends it. */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

enum {
    OWN_TOOLS_MAX = 32,
    OWN_TOOL_HEADERS_MAX = 16, /* beside those the worker sends itself */
    OWN_TOOL_TIMEOUT_MS = 5000, /* where the business has set none */
    OWN_TOOL_TIMEOUT_MAX_MS = 20000,
    OWN_TOOL_ARGUMENTS_MAX = 16384, /* bytes the AI may send along */
};

struct own_tool {
    json_t *entry; /* the texts below are in it */
    const char *name, *description, *url, *method;
    const json_t *parameters, *headers; /* headers may be NULL */
    int64_t timeout_ms;
};

/* Appends a description of each of the business's tools to `into`. Those that cannot be used, or have
 * the name of a built-in tool, are left out and logged with the reason. */
void own_tools_describe(const char *call_sid, const char *tools_json, json_t *into);

/* Finds one by name; release it. false if there is none that can be used. */
bool own_tool_find(const char *tools_json, const char *name, struct own_tool *out);
void own_tool_release(struct own_tool *tool);

/* The request's body: {"call_sid", "tool", "arguments"}. NULL if the arguments are no JSON object or
 * too long, or when out of memory. The caller frees it. */
char *own_tool_body(const struct own_tool *tool, const char *call_sid, const char *arguments);

/* What the AI is told of a good answer: {"ok": true, "result": ...}, the result being the JSON that was
 * answered, or its text; with "cut": true if there was more. New reference; NULL if it is no text. */
json_t *own_tool_output(const char *body, size_t len, bool cut);
