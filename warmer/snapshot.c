#include "warmer/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/functions.h"
#include "warmer/ask.h"
#include "warmer/memo.h"

enum { SNAPSHOT_TTL_SECONDS = 7 * 86400 };

/* ---- keeping ---- */

/* KEPT, or OK for the number. */
static void on_kept(const redisReply *reply, void *arg)
{
    struct warmer *w = arg;
    if (!reply)
        metric_add(&w->metrics.snapshots_lost, 1);
}

static int keep_business(struct warmer *w, const struct context *loaded)
{
    struct question q;
    question_init(&q, REDIS_FUNCTION("rf_keep"));
    question_key_global(&q, w, "business", context_get(loaded, "business_id"));
    question_number(&q, SNAPSHOT_TTL_SECONDS);
    for (size_t i = 0; i < loaded->count; i++) {
        if (context_field_of_business(loaded->fields[i].name))
            question_field(&q, &loaded->fields[i]);
    }
    return ask(w, &q, on_kept, w);
}

static int keep_number(struct warmer *w, const char *number, const char *business_id)
{
    struct question q;
    question_init_command(&q, "SET");
    question_key_global(&q, w, "number", number);
    question_arg(&q, business_id);
    question_arg(&q, "EX");
    question_number(&q, SNAPSHOT_TTL_SECONDS);
    return ask(w, &q, on_kept, w);
}

void snapshot_keep(struct warmer *w, const char *number, const struct context *loaded)
{
    struct memo *memo = memo_learn(&w->memos, number, loaded);
    int64_t now = clock_mono_ms();
    if (memo->kept_ms && now - memo->kept_ms < SNAPSHOT_EVERY_MS)
        return;
    if (keep_business(w, loaded) != 0 || keep_number(w, number, context_get(loaded, "business_id")) != 0)
        metric_add(&w->metrics.snapshots_lost, 1);
    else
        memo->kept_ms = now;
}

/* ---- seeking ---- */

struct seek {
    struct warmer *w;
    struct context *into;
    snapshot_fn *fn;
    void *arg;
};

static void tell(struct seek *seek, bool found)
{
    seek->fn(found, seek->arg);
    free(seek);
}

static void on_business(const redisReply *reply, void *arg)
{
    struct seek *seek = arg;
    bool good = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0;
    for (size_t i = 0; good && i + 1 < reply->elements; i += 2) {
        const char *name = redis_text(reply, i);
        if (context_field_of_business(name) && context_set(seek->into, name, redis_text(reply, i + 1)) != 0)
            metric_add(&seek->w->metrics.fields_dropped, 1);
    }
    tell(seek, good);
}

static int ask_business(struct seek *seek, const char *id)
{
    struct question q;
    question_init_command(&q, "HGETALL");
    question_key_global(&q, seek->w, "business", id);
    return ask(seek->w, &q, on_business, seek);
}

static void on_number(const redisReply *reply, void *arg)
{
    struct seek *seek = arg;
    if (!reply || reply->type != REDIS_REPLY_STRING || ask_business(seek, reply->str) != 0)
        tell(seek, false);
}

static int ask_number(struct seek *seek, const char *number)
{
    struct question q;
    question_init_command(&q, "GET");
    question_key_global(&q, seek->w, "number", number);
    return ask(seek->w, &q, on_number, seek);
}

static int start(int first(struct seek *, const char *), const char *what, const struct seek *like)
{
    struct seek *seek = malloc(sizeof *seek);
    if (!seek)
        return -1;
    *seek = *like;
    if (first(seek, what) == 0)
        return 0;
    free(seek);
    return -1;
}

int snapshot_seek(struct warmer *w, const char *number, struct context *into, snapshot_fn *fn, void *arg)
{
    return start(ask_number, number, &(struct seek){w, into, fn, arg});
}

int snapshot_seek_business(struct warmer *w, const char *id, struct context *into, snapshot_fn *fn, void *arg)
{
    return start(ask_business, id, &(struct seek){w, into, fn, arg});
}
