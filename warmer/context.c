#include "warmer/context.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "warmer/name.h"
#include "warmer/prompt.h"
#include "warmer_prompts.h"

#define TEMPLATE_PREFIX "template_"

static struct context_field *find(struct context *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++) {
        if (strcmp(c->fields[i].name, name) == 0)
            return &c->fields[i];
    }
    return NULL;
}

static void drop(struct context *c, struct context_field *field)
{
    c->bytes -= strlen(field->name) + strlen(field->value);
    free(field->name);
    free(field->value);
    *field = c->fields[--c->count];
}

int context_set(struct context *c, const char *name, const char *value)
{
    struct context_field *old = find(c, name), fresh;
    size_t len = strlen(value), bytes = c->bytes + strlen(name) + len;
    if (old)
        bytes -= strlen(name) + strlen(old->value);
    if (len > CONTEXT_VALUE_MAX || bytes > CONTEXT_BYTES_MAX || (!old && c->count == CONTEXT_FIELDS_MAX))
        return -1;
    fresh = (struct context_field){strdup(name), strdup(value)};
    if (!fresh.name || !fresh.value) {
        free(fresh.name);
        free(fresh.value);
        return -1;
    }
    if (old)
        drop(c, old);
    c->fields[c->count++] = fresh;
    c->bytes = bytes;
    return 0;
}

const char *context_get(const struct context *c, const char *name)
{
    const struct context_field *field = find((struct context *)(uintptr_t)c, name);
    return field ? field->value : "";
}

static const char *lookup(const char *name, void *arg)
{
    return context_get(arg, name);
}

static const char *builtin(const char *name)
{
    for (const struct embedded_file *file = warmer_prompts; file->name; file++) {
        size_t len = strlen(name);
        if (strncmp(file->name, name, len) == 0 && strcmp(file->name + len, ".txt") == 0)
            return file->text;
    }
    return "";
}

/* A text file ends with a newline, which is no part of what is said. */
static void trim_end(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
}

/* Renders the template `name` into the field `as`: the business' own, else the built-in one. */
static int render(struct context *c, const char *name, const char *as)
{
    char text[PROMPT_SIZE], column[64] = TEMPLATE_PREFIX;
    const char *own = context_get(c, strcat(column, name));
    struct prompt_error error;
    int broken = 0;
    bool done = *own && prompt_render(text, sizeof text, own, lookup, c, &error);
    if (*own && !done) {
        broken = 1;
        log_error(context_get(c, "call_sid"), "template is broken, using the built-in one", log_str("template", name),
                  log_str("business_id", context_get(c, "business_id")), log_int("line", error.line),
                  log_str("error", error.what));
    }
    if (!done && !prompt_render(text, sizeof text, builtin(name), lookup, c, &error))
        text[0] = '\0'; /* values that do not fit even there */
    trim_end(text);
    if (context_set(c, as, text) != 0)
        log_error(context_get(c, "call_sid"), "no room in the context", log_str("field", as));
    return broken;
}

static void set_first_name(struct context *c)
{
    char name[NAME_SIZE];
    if (*context_get(c, "lead_first_name"))
        return;
    name_first(name, context_get(c, "lead_full_name"));
    if (*name && context_set(c, "lead_first_name", name) != 0)
        log_error(context_get(c, "call_sid"), "no room in the context", log_str("field", "lead_first_name"));
}

static void drop_templates(struct context *c)
{
    for (size_t i = c->count; i-- > 0;) {
        if (strncmp(c->fields[i].name, TEMPLATE_PREFIX, strlen(TEMPLATE_PREFIX)) == 0)
            drop(c, &c->fields[i]);
    }
}

int context_render(struct context *c)
{
    bool outbound = strcmp(context_get(c, "direction"), "outbound") == 0;
    int broken;
    set_first_name(c);
    broken = render(c, outbound ? "greeting_outbound" : "greeting_inbound", "greeting");
    broken += render(c, "prompt_compact", "prompt_compact");
    broken += render(c, "prompt_full", "prompt_full");
    drop_templates(c);
    return broken;
}

void context_move(struct context *to, struct context *from)
{
    context_release(to);
    *to = *from;
    memset(from, 0, sizeof *from);
}

void context_release(struct context *c)
{
    for (size_t i = 0; i < c->count; i++) {
        free(c->fields[i].name);
        free(c->fields[i].value);
    }
    memset(c, 0, sizeof *c);
}
