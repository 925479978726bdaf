/* CallContext: everything a worker needs to know of a call, one text field per fact. It becomes the
 * Redis hash rf:{p}:call:<sid>, which workers read and people look at.
 *
 * Fields: every named column of load_call_context.sql except template_*, and
 *   call_sid, from, to, direction, source (database | minimal), opened_ms
 *   lead_first_name   the column, or taken from lead_full_name
 *   greeting, prompt_compact, prompt_full     rendered here, once */
#pragma once
#include "common/base/base.h"

enum {
    CONTEXT_FIELDS_MAX = 96,
    CONTEXT_VALUE_MAX = 32 * 1024,
    CONTEXT_BYTES_MAX = 192 * 1024, /* of one call, in Redis */
};

struct context_field {
    char *name, *value;
};

struct context {
    struct context_field fields[CONTEXT_FIELDS_MAX];
    size_t count, bytes;
};

/* Copies both; replaces a field of that name. -1 if a bound would be crossed; the context is then
 * as before. */
RF_NODISCARD int context_set(struct context *c, const char *name, const char *value);

/* The value, or "". */
const char *context_get(const struct context *c, const char *name);

/* Renders names, greeting and prompts from the fields (template_* or the built-in ones) and drops
 * the template fields. Returns how many templates of the business were broken; each is logged. */
int context_render(struct context *c);

void context_move(struct context *to, struct context *from);
void context_release(struct context *c);
