/* `flusher calls [live|ended|stuck]`: the calls that are not in Postgres yet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/inspect/inspect.h"
#include "flusher/inspect/look.h"
#include "flusher/inspect/table.h"

/* An ended call is in Postgres at once; one that waits for so long needs somebody to look. */
enum { STUCK_MS = 60000 };

static const struct column columns[] = {
    {"call", "CALL", CELL_TEXT},        {"state", "STATE", CELL_TEXT}, {"age_ms", "SINCE", CELL_AGE},
    {"from", "FROM", CELL_TEXT},        {"to", "TO", CELL_TEXT},       {"worker", "WORKER", CELL_TEXT},
    {"entries", "ENTRIES", CELL_TEXT},  {"why", "WHY", CELL_TEXT},
};

struct listing {
    struct look look;
    const char *only; /* state, or NULL */
    json_t *rows;
};

static json_t *age(const struct listing *l, const char *since_ms)
{
    return since_ms && *since_ms ? json_integer(l->look.now_ms - strtoll(since_ms, NULL, 10)) : json_null();
}

/* What is the same for every call: who rang whom, who carries it, how long its journal is. */
static bool describe(struct listing *l, const char *sid, json_t *row)
{
    static const struct mask numbers = {0};
    struct mask open = {.off = true};
    const struct mask *mask = l->look.options->unmask ? &open : &numbers;
    char key[KEY_SIZE];
    redisReply *context = look_ask(&l->look, "HMGET %s from to", key_of_call(key, &l->look.keys, KEY_CONTEXT, sid));
    redisReply *session = look_ask(&l->look, "HMGET %s worker started_ms opened_ms reason",
                                   key_of_call(key, &l->look.keys, KEY_SESSION, sid));
    redisReply *writes = look_ask(&l->look, "XLEN %s", key_of_call(key, &l->look.keys, KEY_WRITES, sid));
    bool ok = context && session && writes;
    if (ok) {
        const char *started = look_text(session->element[1]);
        json_object_set_new(row, "from", look_json(look_text(context->element[0]), mask));
        json_object_set_new(row, "to", look_json(look_text(context->element[1]), mask));
        json_object_set_new(row, "worker", look_json(look_text(session->element[0]), &open));
        json_object_set_new(row, "entries", json_integer(writes->integer));
        if (!json_object_get(row, "age_ms"))
            json_object_set_new(row, "age_ms", age(l, started ? started : look_text(session->element[2])));
        if (!json_object_get(row, "why"))
            json_object_set_new(row, "why", look_json(look_text(session->element[3]), &open));
    }
    freeReplyObject(context);
    freeReplyObject(session);
    freeReplyObject(writes);
    return ok;
}

/* Takes row. */
static bool add(struct listing *l, const char *sid, const char *state, json_t *row)
{
    bool ok = true;
    if (l->only && strcmp(l->only, state) != 0) {
        json_decref(row);
        return true;
    }
    json_object_set_new(row, "call", json_string(sid));
    json_object_set_new(row, "state", json_string(state));
    ok = describe(l, sid, row);
    json_array_append_new(l->rows, row);
    return ok;
}

/* [sid, lease deadline, ...]: a lease that has lapsed is a worker that is gone, and the sweep will end the call. */
static bool add_live(struct listing *l, int partition, const redisReply *live)
{
    size_t count = look_cut("live calls", partition, live->elements / 2);
    bool ok = true;
    for (size_t i = 0; i < 2 * count && ok; i += 2) {
        bool lapsed = strtoll(live->element[i + 1]->str, NULL, 10) < l->look.now_ms;
        json_t *row = json_object();
        if (lapsed)
            json_object_set_new(row, "why", json_string("its lease has lapsed"));
        ok = add(l, live->element[i]->str, lapsed ? "stuck" : "live", row);
    }
    return ok;
}

static bool add_ended(struct listing *l, int partition, const redisReply *index)
{
    size_t count = look_cut("ended calls", partition, index->elements);
    bool ok = true;
    for (size_t i = 0; i < count && ok; i++) {
        const redisReply *pairs = index->element[i]->element[1];
        const char *sid = look_field(pairs, "call_sid"), *why = look_field(pairs, "why");
        int64_t waited = l->look.now_ms - strtoll(index->element[i]->element[0]->str, NULL, 10);
        json_t *row = json_object();
        json_object_set_new(row, "age_ms", json_integer(waited));
        json_object_set_new(row, "why", json_string(why ? why : ""));
        if (sid && call_sid_valid(sid))
            ok = add(l, sid, waited > STUCK_MS ? "stuck" : "ended", row);
        else
            json_decref(row);
    }
    return ok;
}

static bool add_partition(struct listing *l, int partition)
{
    char key[KEY_SIZE];
    redisReply *live = look_ask(&l->look, "ZRANGE %s 0 %d WITHSCORES",
                                key_of_partition(key, &l->look.keys, KEY_LIVE, partition), (int)LOOK_MOST);
    redisReply *index = look_ask(&l->look, "XRANGE %s - + COUNT %d",
                                 key_of_partition(key, &l->look.keys, KEY_ENDED, partition), LOOK_MOST + 1);
    bool ok = live && index && add_live(l, partition, live) && add_ended(l, partition, index);
    freeReplyObject(live);
    freeReplyObject(index);
    return ok;
}

static bool is_state(const char *word)
{
    return strcmp(word, "live") == 0 || strcmp(word, "ended") == 0 || strcmp(word, "stuck") == 0;
}

int inspect_calls(const struct flusher_config *config, const struct options *options)
{
    struct listing l = {.only = options->word_count > 1 ? options->words[1] : NULL};
    bool ok;
    if (l.only && !is_state(l.only)) {
        fprintf(stderr, "flusher: calls [live | ended | stuck]\n");
        return 2;
    }
    l.rows = json_array();
    ok = look_begin(&l.look, config, options);
    for (int p = 0; p < l.look.keys.partitions && ok; p++)
        ok = add_partition(&l, p);
    if (ok)
        table_print(columns, ARRAY_LEN(columns), l.rows, options->json);
    json_decref(l.rows);
    look_release(&l.look);
    return ok ? 0 : 1;
}
