/* `flusher pending`: which ended calls are in the hands of which flusher, and for how long. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/inspect/inspect.h"
#include "flusher/inspect/look.h"
#include "flusher/inspect/table.h"

static const struct column columns[] = {
    {"call", "CALL", CELL_TEXT},        {"consumer", "HELD BY", CELL_TEXT}, {"held_ms", "FOR", CELL_AGE},
    {"attempts", "ATTEMPTS", CELL_TEXT}, {"since_end_ms", "ENDED", CELL_AGE}, {"entry", "INDEX ENTRY", CELL_TEXT},
};

/* [id, consumer, idle ms, deliveries] */
static json_t *row_of(struct look *look, const char *name, const redisReply *pending)
{
    const char *id = pending->element[0]->str;
    redisReply *entry = look_ask(look, "XRANGE %s %s %s", name, id, id);
    const char *sid = entry && entry->elements == 1 ? look_field(entry->element[0]->element[1], "call_sid") : NULL;
    json_t *row = json_object();
    json_object_set_new(row, "call", sid ? json_string(sid) : json_null());
    json_object_set_new(row, "consumer", json_string(pending->element[1]->str));
    json_object_set_new(row, "held_ms", json_integer(pending->element[2]->integer));
    json_object_set_new(row, "attempts", json_integer(pending->element[3]->integer));
    json_object_set_new(row, "since_end_ms", json_integer(look->now_ms - strtoll(id, NULL, 10)));
    json_object_set_new(row, "entry", json_string(id));
    freeReplyObject(entry);
    return row;
}

/* Without the group nothing is pending: no flusher has read yet. */
static bool add_partition(struct look *look, int partition, json_t *rows)
{
    char name[KEY_SIZE];
    redisReply *pending;
    size_t count = 0;
    bool ok;
    key_of_partition(name, &look->keys, KEY_ENDED, partition);
    pending = look_try(look, "XPENDING %s %s - + %d", name, FLUSHER_GROUP, LOOK_MOST + 1);
    ok = pending && (pending->type == REDIS_REPLY_ARRAY || strncmp(pending->str, "NOGROUP", 7) == 0);
    if (ok && pending->type == REDIS_REPLY_ARRAY)
        count = look_cut("calls pending", partition, pending->elements);
    for (size_t i = 0; i < count; i++)
        json_array_append_new(rows, row_of(look, name, pending->element[i]));
    if (pending && !ok)
        fprintf(stderr, "flusher: Redis: %s\n", pending->str);
    freeReplyObject(pending);
    return ok;
}

int inspect_pending(const struct flusher_config *config, const struct options *options)
{
    struct look look;
    json_t *rows = json_array();
    bool ok = look_begin(&look, config, options);
    for (int p = 0; p < look.keys.partitions && ok; p++)
        ok = add_partition(&look, p, rows);
    if (ok)
        table_print(columns, ARRAY_LEN(columns), rows, options->json);
    json_decref(rows);
    look_release(&look);
    return ok ? 0 : 1;
}
