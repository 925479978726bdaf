#include "worker/call/machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "worker/call/ai_leg.h"
#include "worker/call/answers.h"
#include "worker/call/call_turns.h"
#include "worker/call/media.h"

enum { LOOKS_MAX = 90 /* one a second: the carrier listens for half a minute, and its word may be late */ };

/* As the carrier's detection has it: machine_start, machine_end_beep and the like, or fax. */
static bool is_machine(const char *answered_by)
{
    return strncmp(answered_by, "machine", 7) == 0 || strcmp(answered_by, "fax") == 0;
}

bool machine_answers(const struct call *c)
{
    return is_machine(c->claim.context.answered_by);
}

static bool can_be_told(const struct context *ctx)
{
    return *ctx->voicemail_message && strcmp(ctx->answered_by, "fax") != 0;
}

/* The message takes the greeting's place. */
bool machine_greet(struct call *c)
{
    struct context *ctx = &c->claim.context;
    char *greeting = ctx->greeting;
    bool tells = can_be_told(ctx);
    if (!machine_answers(c))
        return true;
    c->machine = true;
    ctx->greeting = ctx->voicemail_message;
    ctx->voicemail_message = greeting;
    if (!tells)
        call_end(c, REASON_VOICEMAIL, "");
    return tells;
}

/* ---- the carrier says so in the middle of the call ---- */

static void tell(struct call *c)
{
    call_on(c, &(struct call_event){.kind = CALL_EV_MACHINE});
}

static void on_word(void *owner, const redisReply *reply)
{
    struct call *c = owner;
    char *word = reply && reply->type == REDIS_REPLY_STRING ? strdup(reply->str) : NULL;
    c->machine_look.ticket = NULL;
    if (!word)
        return;
    free(c->claim.context.answered_by); /* "pending": a text of its own */
    c->claim.context.answered_by = word;
    if (machine_answers(c))
        tell(c);
}

void machine_look(struct call *c)
{
    char key[KEY_SIZE];
    const char *argv[] = {"HGET", key_of_call(key, &c->w->keys, KEY_CONTEXT, c->sid), "answered_by"};
    if (c->machine || (c->state != CALL_GREETING && c->state != CALL_TALKING))
        return;
    if (machine_answers(c)) { /* said while no worker had the call, or while there was no session to speak */
        tell(c);
        return;
    }
    if (c->machine_look.ticket || c->machine_look.looks == LOOKS_MAX || strcmp(c->claim.context.answered_by, "pending") != 0)
        return;
    c->machine_look.looks++;
    c->machine_look.ticket = ticket_send(c->w, on_word, c, (int)ARRAY_LEN(argv), argv);
}

static void stop_answer(struct call *c)
{
    if (!c->w->provider->cancel) {
        c->answer.muted = true;
    } else if (c->answer.under_way) {
        snprintf(c->dropped_response, sizeof c->dropped_response, "%s", c->answer.id);
        ai_leg_send(c, c->w->provider->cancel());
    }
}

/* Like a caller who speaks over us, but that nobody is there to be answered. */
static void fall_silent(struct call *c)
{
    stop_answer(c);
    if (c->playout.item_count > 0) {
        snprintf(c->cut_item, sizeof c->cut_item, "%s", c->playout.items[c->playout.item_count - 1].id);
        call_turns_cut(c, c->w->provider->truncate != NULL); /* who cannot be told of it will not tell what was heard */
        media_clear(c);
    }
    call_turns_drop_unsaid(c);
    call_turns_journal(c, false);
    media_speaking(c, false);
}

static void say(struct call *c, const char *message)
{
    size_t size = strlen(message) + 160;
    char *instructions = malloc(size);
    if (instructions)
        snprintf(instructions, size, "An answering machine records now. Say exactly this message, and nothing else: %s", message);
    answers_ask(c, instructions);
    free(instructions);
}

void machine_found(struct call *c)
{
    const struct context *ctx = &c->claim.context;
    log_info(c->sid, "a machine has picked up", log_str("answered_by", ctx->answered_by));
    if (!can_be_told(ctx)) {
        call_end(c, REASON_VOICEMAIL, "");
        return;
    }
    c->machine = true;
    call_greeted(c);
    fall_silent(c);
    call_part(c, REASON_VOICEMAIL);
    say(c, ctx->voicemail_message);
}
