#include "warmer/prompt.h"

#include <string.h>

struct tag {
    char kind; /* '#', '^', '/' or ' ' for a plain field */
    char name[PROMPT_NAME_MAX + 1];
    const char *begin, *end; /* of the whole {{...}} */
};

struct section {
    char name[PROMPT_NAME_MAX + 1];
    bool shown_outside;
};

struct renderer {
    const char *template_text;
    char *out;
    size_t len, size;
    struct section open[PROMPT_NESTING_MAX];
    size_t depth;
    bool shown;
    prompt_lookup_fn *lookup;
    void *arg;
    struct prompt_error *error;
};

static bool fail(struct renderer *r, const char *at, const char *what)
{
    r->error->what = what;
    r->error->line = 1;
    for (const char *c = r->template_text; c < at; c++)
        r->error->line += *c == '\n';
    return false;
}

static bool put(struct renderer *r, const char *at, const char *text, size_t len)
{
    if (!r->shown)
        return true;
    if (len >= r->size - r->len)
        return fail(r, at, "the text becomes too long here");
    memcpy(r->out + r->len, text, len);
    r->len += len;
    return true;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *skip_blanks(const char *at)
{
    while (is_blank(*at))
        at++;
    return at;
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

static const char *find_tag(const char *at)
{
    while ((at = strchr(at, '{')) && at[1] != '{')
        at++;
    return at;
}

/* Reads the tag at `begin`, which stands on "{{". */
static bool read_tag(struct renderer *r, const char *begin, struct tag *tag)
{
    const char *at = begin + 2;
    size_t len = 0;
    tag->begin = begin;
    tag->kind = ' ';
    if (*at == '#' || *at == '^' || *at == '/')
        tag->kind = *at++;
    at = skip_blanks(at);
    while (is_name(at[len]))
        len++;
    if (len == 0 || len > PROMPT_NAME_MAX)
        return fail(r, begin, "after {{ there is no field name");
    memcpy(tag->name, at, len);
    tag->name[len] = '\0';
    at = skip_blanks(at + len);
    if (strncmp(at, "}}", 2) != 0)
        return fail(r, begin, "a {{ is not closed by }}");
    tag->end = at + 2;
    return true;
}

/* Widens a section tag that is alone on its line to the whole line. */
static void take_whole_line(const char *from, struct tag *tag)
{
    const char *begin = tag->begin, *end = skip_blanks(tag->end);
    while (begin > from && is_blank(begin[-1]))
        begin--;
    if ((begin > from && begin[-1] != '\n') || (*end != '\n' && *end != '\0'))
        return;
    tag->begin = begin;
    tag->end = *end == '\n' ? end + 1 : end;
}

static bool has_value(const char *value)
{
    return value && *value && strcmp(value, "false") != 0 && strcmp(value, "f") != 0;
}

static bool open_section(struct renderer *r, const struct tag *tag)
{
    struct section *section = &r->open[r->depth];
    if (r->depth == PROMPT_NESTING_MAX)
        return fail(r, tag->begin, "sections are nested too deep");
    strcpy(section->name, tag->name);
    section->shown_outside = r->shown;
    r->depth++;
    if (has_value(r->lookup(tag->name, r->arg)) != (tag->kind == '#'))
        r->shown = false;
    return true;
}

static bool close_section(struct renderer *r, const struct tag *tag)
{
    if (r->depth == 0 || strcmp(r->open[r->depth - 1].name, tag->name) != 0)
        return fail(r, tag->begin, "{{/..}} closes a section that is not open here");
    r->shown = r->open[--r->depth].shown_outside;
    return true;
}

static bool apply(struct renderer *r, const struct tag *tag)
{
    const char *value;
    if (tag->kind == '/')
        return close_section(r, tag);
    if (tag->kind != ' ')
        return open_section(r, tag);
    value = r->lookup(tag->name, r->arg);
    return put(r, tag->begin, value ? value : "", value ? strlen(value) : 0);
}

bool prompt_render(char *out, size_t size, const char *template_text, prompt_lookup_fn *lookup, void *arg,
                   struct prompt_error *error)
{
    struct renderer r = {.template_text = template_text, .out = out, .size = size, .shown = true,
                         .lookup = lookup, .arg = arg, .error = error};
    const char *at = template_text, *brace;
    struct tag tag;
    while ((brace = find_tag(at))) {
        if (!read_tag(&r, brace, &tag))
            return false;
        if (tag.kind != ' ')
            take_whole_line(template_text, &tag);
        if (!put(&r, brace, at, (size_t)(tag.begin - at)) || !apply(&r, &tag))
            return false;
        at = tag.end;
    }
    if (r.depth > 0)
        return fail(&r, at + strlen(at), "a section is not closed");
    if (!put(&r, at, at, strlen(at)))
        return false;
    out[r.len] = '\0';
    return true;
}
