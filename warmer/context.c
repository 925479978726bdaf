#include "warmer/context.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "common/base/foreign_json.h"
#include "common/base/log.h"
#include "warmer/local_time.h"
#include "warmer/name.h"
#include "warmer/prompt.h"
#include "warmer_prompts.h"

#define TEMPLATE_PREFIX "template_"

enum { CHAINS = 64 };

/* ---- memory: a few large pieces, given back together ---- */

enum { PIECE_BYTES = 16000 /* a usual context fits */ };

struct context_memory {
    struct context_memory *next;
    size_t used, size;
    char bytes[];
};

static char *take(struct context *c, size_t size)
{
    struct context_memory *memory = c->_memory;
    if (!memory || size > memory->size - memory->used) {
        size_t room = size > PIECE_BYTES ? size : PIECE_BYTES;
        memory = malloc(sizeof *memory + room);
        if (!memory)
            return NULL;
        *memory = (struct context_memory){.next = c->_memory, .size = room};
        c->_memory = memory;
    }
    memory->used += size;
    return memory->bytes + memory->used - size;
}

/* The first piece begins with them. */
static bool have_fields(struct context *c)
{
    if (c->fields)
        return true;
    c->fields = (void *)take(c, CONTEXT_FIELDS_MAX * sizeof c->fields[0] + CHAINS);
    if (!c->fields)
        return false;
    c->_chains = memset(c->fields + CONTEXT_FIELDS_MAX, 0, CHAINS);
    return true;
}

/* ---- fields ---- */

/* FNV-1a. A call looks for some hundred names among its fields. */
static uint32_t hash_of(const char *name)
{
    uint32_t hash = 2166136261u;
    for (; *name; name++)
        hash = (hash ^ (uint8_t)*name) * 16777619u;
    return hash;
}

/* Those of like hashes hang together, by number: the first is 1. */
static uint8_t *chain_of(struct context *c, uint32_t hash)
{
    return &c->_chains[hash % CHAINS];
}

static struct context_field *find(struct context *c, const char *name, uint32_t hash)
{
    for (uint8_t at = c->fields ? *chain_of(c, hash) : 0; at; at = c->fields[at - 1]._next) {
        struct context_field *field = &c->fields[at - 1];
        if (field->_hash == hash && strcmp(field->name, name) == 0)
            return field;
    }
    return NULL;
}

/* What leads to it. */
static uint8_t *link_to(struct context *c, const struct context_field *field)
{
    uint8_t *link = chain_of(c, field->_hash);
    while (*link != field - c->fields + 1)
        link = &c->fields[*link - 1]._next;
    return link;
}

/* The last one takes its place; the memory it took stays with the context. */
static void drop(struct context *c, struct context_field *field)
{
    struct context_field *last = &c->fields[c->count - 1];
    uint8_t *link = link_to(c, field);
    c->bytes -= strlen(field->name) + field->value_len;
    *link = field->_next;
    if (field != last) {
        *link_to(c, last) = (uint8_t)(field - c->fields + 1);
        *field = *last;
    }
    c->count--;
}

static bool is_template(const char *name)
{
    return strncmp(name, TEMPLATE_PREFIX, strlen(TEMPLATE_PREFIX)) == 0;
}

int context_set(struct context *c, const char *name, const char *value)
{
    uint32_t hash = hash_of(name);
    struct context_field *old = find(c, name, hash);
    size_t name_len = strlen(name), len = strlen(value), bytes = c->bytes + name_len + len;
    char *memory;
    if (old)
        bytes -= name_len + old->value_len;
    if (len > CONTEXT_VALUE_MAX || bytes > CONTEXT_BYTES_MAX || (!old && c->count == CONTEXT_FIELDS_MAX))
        return -1;
    if (!have_fields(c) || !(memory = take(c, name_len + 1 + len + 1)))
        return -1;
    memcpy(memory, name, name_len + 1);
    memcpy(memory + name_len + 1, value, len + 1);
    if (old)
        drop(c, old);
    c->fields[c->count++] = (struct context_field){memory, memory + name_len + 1, (uint32_t)len, hash, *chain_of(c, hash),
                                                   !is_template(name)};
    *chain_of(c, hash) = (uint8_t)c->count;
    c->bytes = bytes;
    return 0;
}

const char *context_get(const struct context *c, const char *name)
{
    const struct context_field *field = find((struct context *)(uintptr_t)c, name, hash_of(name));
    return field ? field->value : "";
}

void context_written(struct context *c)
{
    for (size_t i = 0; i < c->count; i++)
        c->fields[i].due = false;
}

static const char *lookup(const char *name, void *arg)
{
    return context_get(arg, name);
}

/* ---- templates ---- */

static const char *builtin(const char *name, const char *suffix)
{
    size_t len = strlen(name);
    for (const struct embedded_file *file = warmer_prompts; file->name; file++) {
        size_t more = strlen(suffix);
        if (strncmp(file->name, name, len) == 0 && strncmp(file->name + len, suffix, more) == 0 &&
            strcmp(file->name + len + more, ".txt") == 0)
            return file->text;
    }
    return NULL;
}

/* A text file ends with a newline, which is no part of what is said. */
static void trim_end(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]))
        text[--len] = '\0';
}

struct rendering {
    struct context *c;
    const char *channel;
    json_t *own; /* the channel's own templates, or NULL */
    json_t *all; /* and all channels' */
    int broken;
};

static bool try_template(struct rendering *r, const char *name, const char *template_text, const char *whose,
                         char text[PROMPT_SIZE])
{
    struct prompt_error error;
    if (!template_text || !*template_text)
        return false;
    if (prompt_render(text, PROMPT_SIZE, template_text, lookup, r->c, &error))
        return true;
    r->broken++;
    log_error(context_get(r->c, "call_sid"), "template is broken, using the next one", log_str("template", name),
              log_str("of", whose), log_str("business_id", context_get(r->c, "business_id")),
              log_int("line", error.line), log_str("error", error.what));
    return false;
}

/* Renders the template `name` into the field `as`. */
static void render(struct rendering *r, const char *name, const char *as)
{
    char text[PROMPT_SIZE], column[64] = TEMPLATE_PREFIX;
    const char *own = context_get(r->c, strcat(column, name));
    const char *message = r->channel ? builtin(name, "_message") : NULL;
    if (!try_template(r, name, json_string_value(json_object_get(r->own, name)), r->channel, text) &&
        !try_template(r, name, own, "business", text) &&
        !try_template(r, name, message ? message : builtin(name, ""), "built-in", text))
        text[0] = '\0'; /* values that do not fit even there */
    trim_end(text);
    if (context_set(r->c, as, text) != 0)
        log_error(context_get(r->c, "call_sid"), "no room in the context", log_str("field", as));
}

static void drop_templates(struct context *c)
{
    for (size_t i = c->count; i-- > 0;) {
        if (is_template(c->fields[i].name))
            drop(c, &c->fields[i]);
    }
}

/* ---- what is made of other fields ---- */

static void set_own(struct context *c, const char *name, const char *value)
{
    if (context_set(c, name, value) != 0)
        log_error(context_get(c, "call_sid"), "no room in the context", log_str("field", name));
}

static void set_first_name(struct context *c)
{
    char name[NAME_SIZE];
    const char *source = "first_name";
    if (!*context_get(c, "lead_first_name")) {
        name_first(name, context_get(c, "lead_full_name"));
        if (!*name)
            return;
        set_own(c, "lead_first_name", name);
        source = "full_name";
    }
    if (!*context_get(c, "lead_name_source"))
        set_own(c, "lead_name_source", source);
}

static void set_local_time(struct context *c, int64_t now)
{
    static struct log_limit limit;
    const char *zone = context_get(c, "business_timezone");
    char text[LOCAL_TIME_SIZE];
    if (*context_get(c, "local_time") || !*zone)
        return;
    if (!local_time(text, zone, now)) {
        if (log_allow(&limit))
            log_error(context_get(c, "call_sid"), "unknown time zone, using UTC", log_str("timezone", zone),
                      log_str("business_id", context_get(c, "business_id")));
        set_own(c, "business_timezone", "UTC");
        if (!local_time(text, "UTC", now))
            return;
    }
    set_own(c, "local_time", text);
}

static struct rendering rendering_begin(struct context *c, const char *channel)
{
    bool voice = strcmp(channel, CONTEXT_VOICE) == 0;
    json_t *all = voice ? NULL : foreign_json_text(context_get(c, "template_channels"));
    return (struct rendering){.c = c, .channel = voice ? NULL : channel, .own = json_object_get(all, channel), .all = all};
}

static int rendering_end(struct rendering *r)
{
    json_decref(r->all);
    return r->broken;
}

int context_render_first(struct context *c, const char *channel, int64_t now)
{
    struct rendering r = rendering_begin(c, channel);
    bool outbound = strcmp(context_get(c, "direction"), "outbound") == 0;
    set_first_name(c);
    set_local_time(c, now);
    render(&r, outbound ? "greeting_outbound" : "greeting_inbound", "greeting");
    render(&r, "prompt_compact", "prompt_compact");
    return rendering_end(&r);
}

int context_render_rest(struct context *c, const char *channel)
{
    struct rendering r = rendering_begin(c, channel);
    render(&r, "prompt_full", "prompt_full");
    drop_templates(c);
    return rendering_end(&r);
}

int context_render(struct context *c, const char *channel, int64_t now)
{
    int broken = context_render_first(c, channel, now);
    return broken + context_render_rest(c, channel);
}

bool context_field_of_business(const char *name)
{
    static const char *const prefixes[] = {"business_", TEMPLATE_PREFIX};
    static const char *const names[] = {"voice",           "language",         "ai_model",
                                        "working_hours",   "booked_slots",     "transfer_number",
                                        "transfer_numbers", "tools",           "voicemail_message", "ai_agent_id",
                                        "apology_text",    "fallback_number", "hold_text"};
    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

void context_move(struct context *to, struct context *from)
{
    context_release(to);
    *to = *from;
    memset(from, 0, sizeof *from);
}

int context_copy(struct context *to, const struct context *from)
{
    int wrong = 0;
    for (size_t i = 0; i < from->count; i++)
        wrong |= context_set(to, from->fields[i].name, from->fields[i].value);
    return wrong;
}

void context_release(struct context *c)
{
    struct context_memory *next;
    for (; c->_memory; c->_memory = next) {
        next = c->_memory->next;
        free(c->_memory);
    }
    memset(c, 0, sizeof *c);
}
