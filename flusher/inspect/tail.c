/* `flusher tail [CALL]`: journal entries of one call, or of all live ones, as they are written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/clock.h"
#include "flusher/inspect/inspect.h"
#include "flusher/inspect/look.h"
#include "flusher/inspect/table.h"

/* Streams that are followed at once: two of a call. */
enum { STREAMS_MAX = 512, WAIT_MS = 1000, PAUSE_MS = 250, ID_SIZE = 48, PAGE = 100 };

struct followed {
    char key[KEY_SIZE];
    char sid[CALL_SID_SIZE];
    char last[ID_SIZE];
    bool over; /* its call was not live when that was last asked */
    struct mask mask;
};

struct tail {
    struct look look;
    struct followed *streams;
    size_t count;
    int64_t asked_ms; /* when it was last asked whose call has ended */
    bool said_full;
    const char *argv[8 + 2 * STREAMS_MAX];
};

static bool follows(const struct tail *t, const char *sid)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->streams[i].sid, sid) == 0)
            return true;
    }
    return false;
}

static void drop(struct tail *t, size_t i)
{
    mask_release(&t->streams[i].mask);
    memmove(t->streams + i, t->streams + i + 1, (--t->count - i) * sizeof *t->streams);
}

static bool is_live(struct tail *t, const char *sid)
{
    char key[KEY_SIZE];
    redisReply *score = look_ask(&t->look, "ZSCORE %s %s", key_of_call(key, &t->look.keys, KEY_LIVE, sid), sid);
    bool live = !score || look_text(score);
    freeReplyObject(score);
    return live;
}

/* A call that is live keeps its place: followed anew it would be told again from its beginning. One that has ended
 * gives way when that is seen for the second time: what came with its end has been read by then. */
static void drop_ended(struct tail *t)
{
    int64_t now = clock_mono_ms();
    if (now - t->asked_ms < WAIT_MS)
        return;
    t->asked_ms = now;
    for (size_t i = t->count; i-- > 0;) {
        bool live = is_live(t, t->streams[i].sid);
        if (!live && t->streams[i].over)
            drop(t, i);
        else
            t->streams[i].over = !live;
    }
}

/* Whether there is a place for one more call; that there was none is said once. */
static bool has_place(struct tail *t)
{
    if (t->count == STREAMS_MAX)
        drop_ended(t);
    if (t->count < STREAMS_MAX)
        return true;
    if (!t->said_full)
        fprintf(stderr, "flusher: only %d calls are followed at once; others are when one of them has ended\n",
                STREAMS_MAX / 2);
    t->said_full = true;
    return false;
}

/* The id behind which the stream goes on from now. */
static void last_id(struct tail *t, struct followed *f)
{
    redisReply *reply = look_ask(&t->look, "XREVRANGE %s + - COUNT 1", f->key);
    bool any = reply && reply->elements == 1;
    snprintf(f->last, sizeof f->last, "%s", any ? reply->element[0]->element[0]->str : "0-0");
    freeReplyObject(reply);
}

static void follow(struct tail *t, const char *sid, bool from_beginning)
{
    static const enum key_kind kinds[] = {KEY_WRITES, KEY_EVENTS};
    for (size_t k = 0; k < ARRAY_LEN(kinds) && call_sid_valid(sid); k++) {
        struct followed *f = &t->streams[t->count++];
        memset(f, 0, sizeof *f);
        key_of_call(f->key, &t->look.keys, kinds[k], sid);
        snprintf(f->sid, sizeof f->sid, "%s", sid);
        snprintf(f->last, sizeof f->last, "0-0");
        if (!from_beginning)
            last_id(t, f);
        f->mask.off = t->look.options->unmask;
        if (!f->mask.off)
            look_learn(&t->look, sid, &f->mask);
    }
}

/* Calls that are new on the live set are followed from their beginning, those that were there from now on. */
static bool follow_live(struct tail *t, bool from_beginning)
{
    bool ok = true;
    for (int p = 0; p < t->look.keys.partitions && ok; p++) {
        char key[KEY_SIZE];
        redisReply *live = look_ask(&t->look, "ZRANGE %s 0 %d", key_of_partition(key, &t->look.keys, KEY_LIVE, p),
                                    STREAMS_MAX / 2); /* one more than there are places */
        ok = live != NULL;
        for (size_t i = 0; ok && i < live->elements; i++) {
            if (!follows(t, live->element[i]->str) && has_place(t))
                follow(t, live->element[i]->str, from_beginning);
        }
        freeReplyObject(live);
    }
    return ok;
}

static void print_entry(struct tail *t, struct followed *f, const redisReply *entry)
{
    const redisReply *pairs = entry->element[1];
    const char *type = look_field(pairs, "type"), *at = look_field(pairs, "at");
    char *text = look_entry_text(pairs, &f->mask), time[TIME_TEXT_SIZE];
    if (t->look.options->json) {
        json_t *row = json_pack("{s:s, s:s, s:s, s:o, s:o}", "call", f->sid, "id", entry->element[0]->str, "type",
                                type ? type : "", "at", look_number(at), "text",
                                look_json(text ? text : "", &(struct mask){.off = true}));
        json_dumpf(row, stdout, JSON_COMPACT);
        printf("\n");
        json_decref(row);
    } else {
        table_print_line(4, (const char *const[]){table_time(time, at ? strtoll(at, NULL, 10) : 0), f->sid,
                                                  type ? type : "-", text ? text : ""});
    }
    free(text);
}

static struct followed *stream_named(struct tail *t, const char *key)
{
    for (size_t i = 0; i < t->count; i++) {
        if (strcmp(t->streams[i].key, key) == 0)
            return &t->streams[i];
    }
    return NULL;
}

static void print_stream(struct tail *t, const redisReply *stream)
{
    struct followed *f = stream_named(t, stream->element[0]->str);
    const redisReply *entries = stream->element[1];
    for (size_t i = 0; f && i < entries->elements; i++) {
        print_entry(t, f, entries->element[i]);
        snprintf(f->last, sizeof f->last, "%s", entries->element[i]->element[0]->str);
    }
}

static bool print_reply(struct tail *t, redisReply *reply)
{
    for (size_t i = 0; reply && reply->type == REDIS_REPLY_ARRAY && i < reply->elements; i++)
        print_stream(t, reply->element[i]);
    freeReplyObject(reply);
    return reply != NULL && fflush(stdout) == 0;
}

/* Waits for entries in any of the streams, and prints them. */
static bool wait_for_any(struct tail *t)
{
    char page[12], wait[12];
    int n = 0;
    snprintf(page, sizeof page, "%d", (int)PAGE);
    snprintf(wait, sizeof wait, "%d", (int)WAIT_MS);
    t->argv[n++] = "XREAD";
    t->argv[n++] = "COUNT";
    t->argv[n++] = page;
    t->argv[n++] = "BLOCK";
    t->argv[n++] = wait;
    t->argv[n++] = "STREAMS";
    for (size_t i = 0; i < t->count; i++)
        t->argv[n++] = t->streams[i].key;
    for (size_t i = 0; i < t->count; i++)
        t->argv[n++] = t->streams[i].last;
    return print_reply(t, look_try_words(&t->look, n, t->argv));
}

/* Nodes of a cluster are asked stream by stream, which none can wait in. */
static bool read_each(struct tail *t)
{
    const struct timespec pause = {0, PAUSE_MS * 1000000L};
    bool ok = true;
    for (size_t i = 0; i < t->count && ok; i++)
        ok = print_reply(t, look_try(&t->look, "XREAD COUNT %d STREAMS %s %s", (int)PAGE, t->streams[i].key,
                                     t->streams[i].last));
    nanosleep(&pause, NULL);
    return ok;
}

static bool read_on(struct tail *t)
{
    return look_is_alone(&t->look) ? wait_for_any(t) : read_each(t);
}

/* Of all calls: with nothing to follow yet, a stream that is never there stands in to be waited for. */
static bool follow_all(struct tail *t)
{
    bool ok = follow_live(t, false);
    if (t->count == 0)
        follow(t, "none", true);
    while (ok)
        ok = read_on(t) && follow_live(t, true);
    return ok;
}

int inspect_tail(const struct flusher_config *config, const struct options *options)
{
    struct tail t = {.streams = calloc(STREAMS_MAX, sizeof *t.streams)};
    const char *sid = options->word_count > 1 ? options->words[1] : NULL;
    bool ok = t.streams && look_begin(&t.look, config, options);
    if (sid && !call_sid_valid(sid)) {
        fprintf(stderr, "flusher: \"%s\" is no id of a call\n", sid);
        ok = false;
    }
    if (ok && sid)
        follow(&t, sid, true);
    while (ok)
        ok = sid ? read_on(&t) : follow_all(&t);
    while (t.count > 0)
        drop(&t, t.count - 1);
    free(t.streams);
    look_release(&t.look);
    return 1;
}
