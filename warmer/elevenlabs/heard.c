#include "warmer/elevenlabs/heard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/redis/functions.h"
#include "common/redis/journal.h"
#include "warmer/ask.h"
#include "warmer/elevenlabs/shelf.h"

struct hearing {
    struct warmer *w;
    char sid[CALL_SID_SIZE], conversation[CALL_SID_SIZE];
    told_fn *fn;
    void *arg;
};

static void finish(struct hearing *h, enum told_result result)
{
    h->fn(result, h->arg);
    free(h);
}

/* ADDED | DUPLICATE */
static void on_kept(const redisReply *reply, void *arg)
{
    const char *word = redis_word(reply);
    finish(arg, strcmp(word, "ADDED") == 0 ? TOLD_KEPT : strcmp(word, "DUPLICATE") == 0 ? TOLD_AGAIN : TOLD_FAILED);
}

static void keep(struct hearing *h, const char *url)
{
    const struct journal_type_row *type = &journal_types[JOURNAL_RECORDING];
    const char *const values[] = {h->conversation, url};
    char id[CALL_SID_SIZE + 16];
    struct question q;
    snprintf(id, sizeof id, "recording:%s", h->conversation);
    question_init(&q, REDIS_FUNCTION("rf_event"));
    question_key(&q, h->w, KEY_SESSION, h->sid);
    question_key(&q, h->w, KEY_EVENTS, h->sid);
    question_key(&q, h->w, KEY_LIVE, h->sid);
    question_key(&q, h->w, KEY_ENDED, h->sid);
    question_arg(&q, h->sid);
    question_arg(&q, id);
    question_arg(&q, "0");
    question_arg(&q, "");
    question_arg(&q, "");
    question_entry(&q, type, values, ARRAY_LEN(values));
    if (ask(h->w, &q, on_kept, h) != 0)
        finish(h, TOLD_FAILED);
}

/* The call is known from here on to whoever brings the recording, so of two webhooks that come at once the later one
 * finds both: that is why the shelf is looked at now. */
static void on_alias(const redisReply *reply, void *arg)
{
    struct hearing *h = arg;
    char url[SHELF_PATH_SIZE + CALL_SID_SIZE], path[SHELF_PATH_SIZE];
    if (!reply) {
        finish(h, TOLD_FAILED);
        return;
    }
    if (!*h->sid && reply->type == REDIS_REPLY_STRING && call_sid_valid(reply->str))
        strcpy(h->sid, reply->str);
    if (h->w->shelf)
        snprintf(url, sizeof url, "file://%s", shelf_place(path, h->w->shelf, h->conversation));
    else
        snprintf(url, sizeof url, "%s/v1/convai/conversations/%s/audio", h->w->config.elevenlabs_url, h->conversation);
    if (*h->sid && (!h->w->shelf || access(path, F_OK) == 0))
        keep(h, url);
    else
        finish(h, TOLD_UNKNOWN);
}

void heard_keep(struct warmer *w, const char *call_sid, const char *conversation_id, told_fn *fn, void *arg)
{
    struct hearing *h = calloc(1, sizeof *h);
    struct question q;
    if (!h) {
        fn(TOLD_FAILED, arg);
        return;
    }
    *h = (struct hearing){.w = w, .fn = fn, .arg = arg};
    snprintf(h->sid, sizeof h->sid, "%s", call_sid);
    snprintf(h->conversation, sizeof h->conversation, "%s", conversation_id);
    question_init_command(&q, "GET");
    question_key_alias(&q, w, h->conversation);
    if (ask(w, &q, on_alias, h) != 0)
        finish(h, TOLD_FAILED);
}
