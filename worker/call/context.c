#include "worker/call/context.h"

#include <stdlib.h>
#include <string.h>

static const char *value_of(const redisReply *fields, const char *name)
{
    for (size_t i = 0; fields && i + 1 < fields->elements; i += 2) {
        const redisReply *value = fields->element[i + 1];
        if (value->type == REDIS_REPLY_STRING && strcmp(fields->element[i]->str, name) == 0)
            return value->str;
    }
    return "";
}

static char none[] = ""; /* half of the fields of a usual call: they share it */

static char *copy_of(const char *text)
{
    return *text ? strdup(text) : none;
}

static void forget(char **text)
{
    if (*text != none)
        free(*text);
    *text = none;
}

int context_take(struct context *ctx, const redisReply *fields)
{
    bool ok = true;
#define X(name) ok = (ctx->name = copy_of(value_of(fields, #name))) && ok;
    CONTEXT_FIELDS(X)
#undef X
    return ok ? 0 : -1;
}

void context_release(struct context *ctx)
{
#define X(name) forget(&ctx->name);
    CONTEXT_FIELDS(X)
#undef X
    memset(ctx, 0, sizeof *ctx);
}

const char *context_prompt(const struct context *ctx, bool full)
{
    return full && *ctx->prompt_full ? ctx->prompt_full : ctx->prompt_compact;
}

void context_greeted(struct context *ctx)
{
    if (*ctx->prompt_full)
        forget(&ctx->prompt_compact);
}
