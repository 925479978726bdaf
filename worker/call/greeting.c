#include "worker/call/greeting.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <jansson.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/crypto.h"
#include "worker/call/ai_leg.h"
#include "worker/call/answers.h"
#include "worker/call/media.h"
#include "worker/call/retell.h"

enum { CACHE_WAIT_MS = 1000 };

#define TTL_SECONDS "604800" /* a week; a busy number's greeting is spoken anew once in it */

/* Provider, model and voice make the sound, the text the words. */
static bool key_of(const struct call *c, char key[KEY_SIZE])
{
    const struct context *ctx = &c->claim.context;
    const struct worker_config *config = c->w->config;
    const char *voice = ai_leg_voice(c);
    size_t size = strlen(ctx->greeting) + strlen(voice) + strlen(config->ai_model) + strlen(c->w->provider->name) + 8;
    char *text = malloc(size), hash[SHA256_HEX_SIZE];
    bool good;
    if (!text)
        return false;
    snprintf(text, size, "%s|%s|%s|%s", c->w->provider->name, config->ai_model, voice, ctx->greeting);
    good = sha256_hex(hash, text, strlen(text));
    free(text);
    return good && key_global(key, &c->w->keys, "greeting", hash, NULL) != NULL;
}

static void on_audio(void *owner, const redisReply *reply)
{
    struct call *c = owner;
    c->greeting.ticket = NULL;
    call_on(c, &(struct call_event){.kind = CALL_EV_GREETING, .reply = reply});
}

void greeting_begins(struct call *c)
{
    if (c->greeting.begun)
        return;
    c->greeting.begun = true;
    journal_fact(&c->journal, json_pack("{s:I}", CLAIM_GREETING_BEGAN, (json_int_t)clock_wall_ms()));
}

void greeting_look_up(struct call *c)
{
    char key[KEY_SIZE];
    const char *argv[] = {"GET", key};
    if (c->w->provider->agent)
        return; /* it greets by itself */
    if (*c->claim.context.greeting && key_of(c, key))
        c->greeting.ticket = ticket_send(c->w, on_audio, c, (int)ARRAY_LEN(argv), argv);
}

void greeting_record(struct call *c, const struct ai_event *ev)
{
    uint8_t *audio;
    ptrdiff_t n;
    if (c->greeting.unfit || c->w->provider->agent)
        return;
    if (!c->greeting.recording)
        c->greeting.recording = evbuffer_new();
    audio = malloc(ev->audio_len / 4 * 3 + 3);
    n = audio ? base64_decode(audio, ev->audio, ev->audio_len) : -1;
    if (!c->greeting.recording || n < 0 || evbuffer_add(c->greeting.recording, audio, (size_t)n) != 0 ||
        evbuffer_get_length(c->greeting.recording) > GREETING_AUDIO_MAX) {
        greeting_forget(c);
        c->greeting.unfit = true;
    }
    free(audio);
}

/* The same words, whatever the spelling: letters, digits and what is not ASCII. */
static bool same_words(const char *a, const char *b)
{
    for (;;) {
        while (*a && (unsigned char)*a < 0x80 && !isalnum((unsigned char)*a))
            a++;
        while (*b && (unsigned char)*b < 0x80 && !isalnum((unsigned char)*b))
            b++;
        if (tolower((unsigned char)*a) != tolower((unsigned char)*b))
            return false;
        if (!*a)
            return true;
        a++, b++;
    }
}

void greeting_said(struct call *c, const char *words)
{
    c->greeting.said = same_words(words, c->claim.context.greeting);
    c->greeting.unfit = c->greeting.unfit || !c->greeting.said;
}

void greeting_store(struct call *c)
{
    struct evbuffer *audio = c->greeting.recording;
    size_t len = audio && c->greeting.said && !c->greeting.unfit ? evbuffer_get_length(audio) : 0;
    char key[KEY_SIZE];
    const char *argv[] = {"SET", key, len ? (const char *)evbuffer_pullup(audio, -1) : "", "EX", TTL_SECONDS};
    size_t lens[] = {3, 0, len, 2, sizeof TTL_SECONDS - 1};
    if (len > 0 && key_of(c, key)) {
        lens[1] = strlen(key);
        /* Not stored: the next call's AI speaks it again. */
        (void)!redis_async_send(c->w->redis, NULL, NULL, (int)ARRAY_LEN(argv), argv, lens);
    }
    greeting_forget(c);
}

static void play(struct call *c, const redisReply *audio)
{
    c->greeting.cached = true;
    greeting_begins(c);
    metric_add(&c->w->metrics.greetings_cached, 1);
    retell_greeting_plays(c, c->claim.context.greeting);
    media_play(c, GREETING_ITEM, (const uint8_t *)audio->str, (size_t)audio->len);
}

/* The AI says it in its own voice. */
static void ask(struct call *c)
{
    const char *greeting = c->claim.context.greeting;
    size_t size = strlen(greeting) + 128;
    char *instructions = *greeting ? malloc(size) : NULL;
    if (instructions)
        snprintf(instructions, size, "Greet the caller. Say exactly this, and nothing else: %s", greeting);
    answers_ask(c, instructions);
    free(instructions);
}

void greeting_ask(struct call *c)
{
    if (!c->w->provider->agent)
        ask(c);
    else if (*c->claim.context.greeting)
        answers_expect(c); /* it has got the words with its settings */
}

void greeting_arrived(struct call *c, const redisReply *reply)
{
    if (reply && reply->type == REDIS_REPLY_STRING && reply->len > 0)
        play(c, reply);
    else if (c->state == CALL_GREETING)
        greeting_ask(c);
}

void greeting_hurry(struct call *c, int64_t now_ms)
{
    if (c->state != CALL_GREETING || !c->greeting.ticket || now_ms - c->started_ms < CACHE_WAIT_MS)
        return;
    ticket_drop(c->greeting.ticket);
    c->greeting.ticket = NULL;
    greeting_ask(c);
}

void greeting_forget(struct call *c)
{
    if (c->greeting.recording)
        evbuffer_free(c->greeting.recording);
    c->greeting.recording = NULL;
    c->greeting.said = c->greeting.unfit = false;
}

void greeting_release(struct call *c)
{
    ticket_drop(c->greeting.ticket);
    c->greeting.ticket = NULL;
    greeting_forget(c);
}
