#include "worker/call/late_context.h"

#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/redis/context.h"

enum {
    LOOKS_MAX = 120, /* one a second: a database that is away longer stays away for this call */
    WAIT_MS = 300,   /* the prompt upgrade waits for Redis at most */
};

static bool complete(const struct context *ctx)
{
    return strcmp(ctx->source, CONTEXT_COMPLETE) == 0;
}

bool late_context_lacks_calendar(const struct call *c)
{
    return strcmp(c->claim.context.source, CONTEXT_PARTIAL) == 0;
}

static void keep(char **now, char **then)
{
    char *text = *now;
    *now = *then;
    *then = text;
}

/* What the caller has heard already stays: the voice above all, which a session cannot change. */
static void take(struct call *c, struct context *full)
{
    struct context *ctx = &c->claim.context;
    keep(&full->voice, &ctx->voice);
    keep(&full->greeting, &ctx->greeting);
    keep(&full->voicemail_message, &ctx->voicemail_message);
    context_release(ctx);
    *ctx = *full;
    if (c->past_greeting)
        context_greeted(ctx);
    c->late.taken = true;
    log_info(c->sid, "the full context has come", log_int("looks", c->late.looks));
    call_on(c, &(struct call_event){.kind = CALL_EV_CONTEXT});
}

static void on_context(void *owner, const redisReply *reply)
{
    struct call *c = owner;
    struct context full;
    c->late.ticket = NULL;
    if (!reply || reply->type != REDIS_REPLY_ARRAY)
        return;
    if (context_take(&full, reply) == 0 && complete(&full))
        take(c, &full);
    else
        context_release(&full);
}

void late_context_look(struct call *c)
{
    char key[KEY_SIZE];
    const char *argv[] = {"HGETALL", key_of_call(key, &c->w->keys, KEY_CONTEXT, c->sid)};
    if (c->late.ticket || c->late.looks == LOOKS_MAX || complete(&c->claim.context))
        return;
    c->late.looks++;
    c->late.ticket = ticket_send(c->w, on_context, c, (int)ARRAY_LEN(argv), argv);
}

bool late_context_wait(struct call *c)
{
    int64_t now = clock_mono_ms();
    if (c->late.until_ms == 0) {
        c->late.until_ms = now + WAIT_MS;
        late_context_look(c);
    }
    return c->late.ticket && now < c->late.until_ms;
}
