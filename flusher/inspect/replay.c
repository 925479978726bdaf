#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/functions.h"
#include "flusher/apply.h"
#include "flusher/inspect/letters.h"
#include "flusher/sql.h"

struct replay {
    struct sql sql;
    struct note note;
    PGconn *conn;
};

static struct replay *fail(struct replay *r, const char *what, const char *why)
{
    fprintf(stderr, "flusher: %s: %s\n", what, why);
    replay_free(r);
    return NULL;
}

struct replay *replay_new(const struct flusher_config *config)
{
    struct replay *r = calloc(1, sizeof *r);
    struct db_error error = {0};
    char why[512];
    if (!r)
        return fail(r, "cannot begin", "out of memory");
    if (!sql_load(&r->sql, config->sql_dir, why, sizeof why))
        return fail(r, "cannot begin", why);
    r->conn = db_connect(config->database_url, "", &error);
    if (!r->conn)
        return fail(r, "Postgres", error.message);
    r->note = note_wanted(config);
    if (!db_prepare(r->conn, r->sql.statements, r->sql.count, &error) ||
        !note_prepare(&r->note, r->conn, config, &error))
        return fail(r, "the statements do not fit the schema", error.message);
    return r;
}

void replay_free(struct replay *replay)
{
    if (!replay)
        return;
    PQfinish(replay->conn);
    sql_release(&replay->sql);
    free(replay);
}

/* -- one entry ---------------------------------------------------------------------------------- */

/* The entry as it stood in its journal. Texts are borrowed from fields. */
static bool read_entry(const struct letter *letter, const json_t *fields, struct journal_entry *entry)
{
    const char *at = json_string_value(json_object_get(fields, "at"));
    memset(entry, 0, sizeof *entry);
    entry->stream = strcmp(letter->stream, journal_stream_names[STREAM_EVENTS]) == 0 ? STREAM_EVENTS : STREAM_WRITES;
    entry->type = journal_type_named(letter->type);
    entry->has_at = at != NULL;
    entry->at_ms = at ? strtoll(at, NULL, 10) : 0;
    for (int i = 0; entry->type != JOURNAL_UNKNOWN && i < journal_types[entry->type].field_count; i++) {
        const json_t *value = json_object_get(fields, journal_types[entry->type].fields[i]);
        entry->fields[i] = (struct journal_text){json_string_value(value), json_string_length(value)};
    }
    return stream_id_parse(letter->entry_id, &entry->id);
}

/* *new: this entry was not replayed before (a replay may have died between its commit and the letter's removal). */
static bool take(struct replay *r, const struct letter *letter, bool *new, struct db_error *error)
{
    const char *const values[] = {letter->call_sid, letter->stream, letter->entry_id};
    PGresult *result = PQexecPrepared(r->conn, "replay_take", 3, values, NULL, NULL, 0);
    *new = PQntuples(result) == 1;
    return db_check(r->conn, result, error);
}

static bool apply(struct replay *r, const struct letter *letter, const struct journal_entry *entry,
                  struct db_error *error)
{
    struct flush_call call = {0};
    bool new;
    snprintf(call.sid, sizeof call.sid, "%s", letter->call_sid);
    return db_run(r->conn, "begin", error) && take(r, letter, &new, error) &&
           (!new || apply_entry(r->conn, &r->note, &call, entry, error)) && db_run(r->conn, "commit", error);
}

static bool replay_entry(struct replay *r, struct look *look, const struct letter *letter)
{
    json_t *fields = json_loads(letter->entry, JSON_ALLOW_NUL, NULL);
    struct db_error error = {0}, ignored;
    struct journal_entry entry;
    const char *wrong = read_entry(letter, fields, &entry) ? journal_entry_wrong(&entry) : "its id is none";
    bool ok = !wrong && apply(r, letter, &entry, &error);
    if (!ok && !wrong && !db_run(r->conn, "rollback", &ignored))
        fprintf(stderr, "flusher: Postgres: %s\n", ignored.message);
    json_decref(fields);
    if (ok)
        printf("replayed %s of call %s\n", letter->id, letter->call_sid);
    else
        printf("refused %s of call %s: %s %s\n", letter->id, letter->call_sid, error.sqlstate,
               wrong ? wrong : error.message);
    return ok && letter_remove(look, letter);
}

/* A running flusher does it. In one step, also when memory is full: nothing but its letter leads to a parked call. */
static bool replay_call(struct look *look, const struct letter *letter)
{
    char session[KEY_SIZE], ended[KEY_SIZE], dead[KEY_SIZE];
    redisReply *reply = look_ask(look, "FCALL " REDIS_FUNCTION("rf_replay") " 3 %s %s %s %s %s %s",
                                 key_of_call(session, &look->keys, KEY_SESSION, letter->call_sid),
                                 key_of_partition(ended, &look->keys, KEY_ENDED, letter->partition),
                                 key_of_partition(dead, &look->keys, KEY_DEAD, letter->partition), letter->call_sid,
                                 letter->id, letter->entry_id);
    bool ok = reply != NULL;
    freeReplyObject(reply);
    if (ok)
        printf("call %s is to be flushed again\n", letter->call_sid);
    return ok;
}

bool replay_letter(struct replay *replay, struct look *look, const struct letter *letter)
{
    return letter_is_call(letter) ? replay_call(look, letter) : replay_entry(replay, look, letter);
}
