/* Templates of prompts and greetings. Pure.
 *
 *   {{field}}                     the field's value; nothing if there is none
 *   {{#field}} .. {{/field}}      only if the field has a value
 *   {{^field}} .. {{/field}}      only if it has none
 *
 * "false" and "f" (how Postgres writes no) count as no value for sections. A section tag alone on its
 * line takes the line with it. Values are copied as they are, never read as a template. */
#pragma once
#include "common/base/base.h"

enum { PROMPT_SIZE = 32 * 1024, PROMPT_NESTING_MAX = 8, PROMPT_NAME_MAX = 64 };

/* The value of a field, or NULL. */
typedef const char *prompt_lookup_fn(const char *name, void *arg);

struct prompt_error {
    int line;         /* of the template, from 1 */
    const char *what; /* a constant */
};

/* Writes the text and a NUL into out[size]. false, with *error set, if the template is broken or
 * the text does not fit; out is then not to be used. */
RF_NODISCARD bool prompt_render(char *out, size_t size, const char *template_text, prompt_lookup_fn *lookup, void *arg,
                                struct prompt_error *error);
