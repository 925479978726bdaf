/* `flusher dead [list | show WHICH | replay WHICH | discard WHICH]`: what Postgres refused, and what is to become of
 * it. WHICH is the id of a letter, the id of a call, or all. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/inspect/inspect.h"
#include "flusher/inspect/letters.h"
#include "flusher/inspect/table.h"

enum { ID_SIZE = 48 };

static const struct column columns[] = {
    {"id", "ID", CELL_TEXT},           {"age_ms", "AGE", CELL_AGE},     {"call", "CALL", CELL_TEXT},
    {"stream", "STREAM", CELL_TEXT},   {"entry_id", "ENTRY", CELL_TEXT}, {"type", "TYPE", CELL_TEXT},
    {"sqlstate", "SQLSTATE", CELL_TEXT}, {"message", "WHY", CELL_TEXT},
};

/* -- reading ------------------------------------------------------------------------------------ */

static const char *field_or_empty(const redisReply *pairs, const char *name)
{
    const char *text = look_field(pairs, name);
    return text ? text : "";
}

static struct letter letter_of(int partition, const redisReply *entry)
{
    const redisReply *pairs = entry->element[1];
    return (struct letter){.partition = partition,
                           .id = entry->element[0]->str,
                           .call_sid = field_or_empty(pairs, "call_sid"),
                           .stream = field_or_empty(pairs, "stream"),
                           .entry_id = field_or_empty(pairs, "entry_id"),
                           .type = field_or_empty(pairs, "type"),
                           .sqlstate = field_or_empty(pairs, "sqlstate"),
                           .message = field_or_empty(pairs, "message"),
                           .entry = field_or_empty(pairs, "entry")};
}

static bool is_meant(const struct letter *letter, const char *meant)
{
    return strcmp(meant, "all") == 0 || strcmp(meant, letter->id) == 0 || strcmp(meant, letter->call_sid) == 0;
}

/* Those behind the id `after`, a page of them at most; after becomes the last one's. Returns how many were looked at, and
 * counts those that were meant. -1: Redis failed, or fn did. */
static int64_t page_for_each(struct look *look, int partition, char after[ID_SIZE], const char *meant, letter_fn *fn,
                             void *arg, int64_t *count)
{
    char key[KEY_SIZE];
    redisReply *reply = look_ask(look, "XRANGE %s (%s + COUNT %d",
                                 key_of_partition(key, &look->keys, KEY_DEAD, partition), after, (int)LOOK_MOST);
    int64_t looked_at = reply ? (int64_t)reply->elements : -1;
    for (size_t i = 0; reply && looked_at >= 0 && i < reply->elements; i++) {
        struct letter letter = letter_of(partition, reply->element[i]);
        snprintf(after, ID_SIZE, "%s", letter.id);
        if (!is_meant(&letter, meant))
            continue;
        if (!fn(look, &letter, arg))
            looked_at = -1;
        ++*count;
    }
    freeReplyObject(reply);
    return looked_at;
}

int64_t letters_for_each(struct look *look, const char *meant, letter_fn *fn, void *arg)
{
    int64_t count = 0;
    for (int p = 0; p < look->keys.partitions; p++) {
        char after[ID_SIZE] = "0-0";
        int64_t looked_at;
        do
            looked_at = page_for_each(look, p, after, meant, fn, arg, &count);
        while (looked_at == LOOK_MOST);
        if (looked_at < 0)
            return -1;
    }
    return count;
}

bool letter_is_call(const struct letter *letter)
{
    return strcmp(letter->stream, "call") == 0;
}

static bool take_off(struct look *look, const struct letter *letter)
{
    char key[KEY_SIZE];
    redisReply *reply =
        look_ask(look, "XDEL %s %s", key_of_partition(key, &look->keys, KEY_DEAD, letter->partition), letter->id);
    bool ok = reply != NULL;
    freeReplyObject(reply);
    return ok;
}

/* The note first: as long as there is a letter this can be done again. */
bool letter_remove(struct look *look, const struct letter *letter)
{
    char key[KEY_SIZE];
    redisReply *reply = look_ask(look, "HDEL %s dead:%s:%s",
                                 key_of_call(key, &look->keys, KEY_SESSION, letter->call_sid), letter->stream,
                                 letter->entry_id);
    bool ok = reply != NULL;
    freeReplyObject(reply);
    return ok && take_off(look, letter);
}

/* -- showing ------------------------------------------------------------------------------------ */

/* The entry's own fields, masked; the reason may quote them. */
static json_t *masked_entry(const struct letter *letter, struct mask *mask)
{
    json_t *entry = json_loads(letter->entry, JSON_ALLOW_NUL, NULL), *masked = json_object(), *value;
    const char *key;
    json_object_foreach(entry, key, value) {
        if (strcmp(key, "value") == 0 && json_string_value(json_object_get(entry, "field")))
            mask_learn_field(mask, json_string_value(json_object_get(entry, "field")), json_string_value(value));
        json_object_set_new(masked, key, look_json(json_string_value(value), mask));
    }
    json_decref(entry);
    return masked;
}

static json_t *row_of(struct look *look, const struct letter *letter)
{
    struct mask mask = {.off = look->options->unmask};
    json_t *entry, *row = json_object();
    if (!mask.off && call_sid_valid(letter->call_sid))
        look_learn(look, letter->call_sid, &mask);
    entry = masked_entry(letter, &mask);
    json_object_set_new(row, "id", json_string(letter->id));
    json_object_set_new(row, "age_ms", json_integer(look->now_ms - strtoll(letter->id, NULL, 10)));
    json_object_set_new(row, "call", json_string(letter->call_sid));
    json_object_set_new(row, "stream", json_string(letter->stream));
    json_object_set_new(row, "entry_id", json_string(letter->entry_id));
    json_object_set_new(row, "type", json_string(letter->type));
    json_object_set_new(row, "sqlstate", json_string(letter->sqlstate));
    json_object_set_new(row, "message", look_json(letter->message, &mask));
    json_object_set_new(row, "entry", entry);
    mask_release(&mask);
    return row;
}

static bool add_row(struct look *look, const struct letter *letter, void *arg)
{
    return json_array_append_new(arg, row_of(look, letter)) == 0;
}

static int list(struct look *look)
{
    json_t *rows = json_array();
    bool ok = letters_for_each(look, "all", add_row, rows) >= 0;
    if (ok)
        table_print(columns, ARRAY_LEN(columns), rows, look->options->json);
    json_decref(rows);
    return ok ? 0 : 1;
}

static bool show_letter(struct look *look, const struct letter *letter, void *arg)
{
    json_t *row = row_of(look, letter), *entry = json_incref(json_object_get(row, "entry"));
    (void)arg;
    if (!look->options->json)
        json_object_del(row, "entry");
    table_print_object(row, look->options->json);
    if (!look->options->json) {
        printf("  entry\n");
        table_print_object(entry, false);
        printf("\n");
    }
    json_decref(entry);
    json_decref(row);
    return true;
}

/* -- deciding ----------------------------------------------------------------------------------- */

/* With a parked call its journal goes too: nothing else would ever take it away. */
static bool discard_letter(struct look *look, const struct letter *letter, void *arg)
{
    static const enum key_kind kinds[] = {KEY_CONTEXT, KEY_SESSION, KEY_WRITES, KEY_EVENTS};
    (void)arg;
    for (size_t i = 0; letter_is_call(letter) && i < ARRAY_LEN(kinds); i++) {
        char key[KEY_SIZE];
        redisReply *reply = look_ask(look, "UNLINK %s", key_of_call(key, &look->keys, kinds[i], letter->call_sid));
        if (!reply)
            return false;
        freeReplyObject(reply);
    }
    printf("discarded %s of call %s%s\n", letter->id, letter->call_sid, letter_is_call(letter) ? ", with its journal" : "");
    return take_off(look, letter);
}

struct replaying {
    struct replay *replay;
    int failed;
};

static bool replay_one(struct look *look, const struct letter *letter, void *arg)
{
    struct replaying *r = arg;
    r->failed += !replay_letter(r->replay, look, letter);
    return true;
}

static int64_t replay(struct look *look, const char *meant)
{
    struct replaying r = {.replay = replay_new(look->config)};
    int64_t count = r.replay ? letters_for_each(look, meant, replay_one, &r) : -1;
    replay_free(r.replay);
    return r.failed > 0 ? -1 : count;
}

static int64_t decide(struct look *look, const char *what, const char *meant)
{
    if (strcmp(what, "show") == 0)
        return letters_for_each(look, meant, show_letter, NULL);
    if (strcmp(what, "replay") == 0)
        return replay(look, meant);
    return letters_for_each(look, meant, discard_letter, NULL);
}

static bool is_decision(const char *word)
{
    return strcmp(word, "show") == 0 || strcmp(word, "replay") == 0 || strcmp(word, "discard") == 0;
}

int inspect_dead(const struct flusher_config *config, const struct options *options)
{
    const char *what = options->word_count > 1 ? options->words[1] : "list";
    bool replays = strcmp(what, "replay") == 0, ok;
    struct look look;
    int64_t count;
    int code = 1;
    if (strcmp(what, "list") != 0 && (!is_decision(what) || options->word_count != 3)) {
        fprintf(stderr, "flusher: dead [list | show WHICH | replay WHICH | discard WHICH]; WHICH is the id of a letter, "
                        "the id of a call, or all\n");
        return 2;
    }
    ok = replays ? look_begin_with_functions(&look, config, options) : look_begin(&look, config, options);
    if (!ok) {
        look_release(&look);
        return 1;
    }
    if (strcmp(what, "list") == 0) {
        code = list(&look);
    } else {
        count = decide(&look, what, options->words[2]);
        bool all = strcmp(options->words[2], "all") == 0;
        if (count == 0)
            fprintf(stderr, all ? "flusher: the dead streams are empty\n" : "flusher: there is no such letter\n");
        code = count > 0 || (count == 0 && all) ? 0 : 1;
    }
    look_release(&look);
    return code;
}
