/* `flusher show CALL`: all that Redis holds of one call, and how far it is in Postgres. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/database.h"
#include "flusher/inspect/inspect.h"
#include "flusher/inspect/look.h"
#include "flusher/inspect/table.h"
#include "flusher/journal_read.h"
#include "look_sql.h"

static const struct column columns[] = {
    {"at", "AT", CELL_TIME},       {"stream", "STREAM", CELL_TEXT},     {"id", "ID", CELL_TEXT},
    {"type", "TYPE", CELL_TEXT},   {"in_postgres", "IN POSTGRES", CELL_TEXT}, {"text", "", CELL_TEXT},
};

struct show {
    struct look look;
    const char *sid;
    struct mask mask;
    struct stream_id mark[STREAM_COUNT]; /* the ledger's, or Redis' */
    bool ledger_asked;
    json_t *context, *session, *ledger, *journal;
};

static json_t *hash(struct show *s, enum key_kind kind)
{
    char key[KEY_SIZE];
    redisReply *reply = look_ask(&s->look, "HGETALL %s", key_of_call(key, &s->look.keys, kind, s->sid));
    json_t *object = reply ? json_object() : NULL;
    for (size_t i = 0; reply && i + 1 < reply->elements; i += 2) {
        const char *field = reply->element[i]->str;
        bool token = kind == KEY_SESSION && strncmp(field, "token:", 6) == 0; /* good for a stream: shown to nobody */
        json_object_set_new(object, field,
                            token ? json_string("***") : look_json(reply->element[i + 1]->str, &s->mask));
    }
    freeReplyObject(reply);
    return object;
}

/* -- how far it is ------------------------------------------------------------------------------ */

static const char *column_text(const PGresult *row, int column)
{
    return PQgetvalue(row, 0, column);
}

static json_t *ledger_row(const PGresult *row)
{
    json_t *object = json_object();
    for (int c = 0; c < PQnfields(row); c++)
        json_object_set_new(object, PQfname(row, c), json_string(column_text(row, c)));
    return object;
}

/* The ledger is the truth; when Postgres does not answer, what the flusher has noted in Redis must do. */
static void read_ledger(struct show *s)
{
    struct db_error error = {0};
    const char *const values[] = {s->sid};
    PGconn *conn = db_connect(s->look.config->database_url, "", &error);
    PGresult *row = conn ? PQexecParams(conn, look_sql[0].text, 1, NULL, values, NULL, NULL, 0) : NULL;
    s->ledger_asked = row && PQresultStatus(row) == PGRES_TUPLES_OK;
    if (s->ledger_asked)
        memset(s->mark, 0, sizeof s->mark);
    if (s->ledger_asked && PQntuples(row) == 1) {
        s->ledger = ledger_row(row);
        stream_id_parse(column_text(row, 0), &s->mark[STREAM_WRITES]);
        stream_id_parse(column_text(row, 1), &s->mark[STREAM_EVENTS]);
    }
    PQclear(row);
    PQfinish(conn);
}

static void read_marks(struct show *s)
{
    const char *writes = json_string_value(json_object_get(s->session, "flushed_writes"));
    const char *events = json_string_value(json_object_get(s->session, "flushed_events"));
    if (writes)
        stream_id_parse(writes, &s->mark[STREAM_WRITES]);
    if (events)
        stream_id_parse(events, &s->mark[STREAM_EVENTS]);
}

static const char *in_postgres(const struct show *s, const char *id_text, enum journal_stream stream)
{
    char refused[KEY_SIZE];
    struct stream_id id;
    bool below;
    snprintf(refused, sizeof refused, "dead:%s:%s", journal_stream_names[stream], id_text);
    if (json_object_get(s->session, refused))
        return "refused";
    if (!stream_id_parse(id_text, &id))
        return "no";
    below = stream == STREAM_WRITES ? id.lo <= s->mark[stream].lo : stream_id_compare(id, s->mark[stream]) <= 0;
    return below ? "yes" : "no";
}

/* -- the journal -------------------------------------------------------------------------------- */

static json_t *entry_row(struct show *s, const redisReply *entry, enum journal_stream stream)
{
    const redisReply *pairs = entry->element[1];
    const char *type = look_field(pairs, "type");
    char *text = look_entry_text(pairs, &s->mask);
    json_t *row = json_object();
    json_object_set_new(row, "at", look_number(look_field(pairs, "at")));
    json_object_set_new(row, "stream", json_string(journal_stream_names[stream]));
    json_object_set_new(row, "id", json_string(entry->element[0]->str));
    json_object_set_new(row, "type", json_string(type ? type : ""));
    json_object_set_new(row, "in_postgres", json_string(in_postgres(s, entry->element[0]->str, stream)));
    json_object_set_new(row, "text", look_json(text ? text : "", &(struct mask){.off = true}));
    free(text);
    return row;
}

static json_int_t at_of(const json_t *row)
{
    return json_integer_value(json_object_get(row, "at"));
}

/* Behind those that are not later; both journals stand in order by themselves. */
static void insert_by_time(json_t *rows, json_t *row)
{
    size_t place = json_array_size(rows);
    while (place > 0 && at_of(json_array_get(rows, place - 1)) > at_of(row))
        place--;
    json_array_insert_new(rows, place, row);
}

static bool read_journal(struct show *s, enum key_kind kind, enum journal_stream stream)
{
    char key[KEY_SIZE];
    redisReply *reply = look_ask(&s->look, "XRANGE %s - +", key_of_call(key, &s->look.keys, kind, s->sid));
    for (size_t i = 0; reply && i < reply->elements; i++)
        insert_by_time(s->journal, entry_row(s, reply->element[i], stream));
    freeReplyObject(reply);
    return reply != NULL;
}

static bool read_all(struct show *s)
{
    if (!s->mask.off)
        look_learn(&s->look, s->sid, &s->mask);
    s->context = hash(s, KEY_CONTEXT);
    s->session = hash(s, KEY_SESSION);
    if (!s->context || !s->session)
        return false;
    read_marks(s);
    read_ledger(s);
    s->journal = json_array();
    return read_journal(s, KEY_WRITES, STREAM_WRITES) && read_journal(s, KEY_EVENTS, STREAM_EVENTS);
}

/* -- printing ----------------------------------------------------------------------------------- */

static void print_section(const char *title, const json_t *object, const char *otherwise)
{
    printf("%s\n", title);
    if (json_object_size(object) > 0)
        table_print_object(object, false);
    else
        printf("  %s\n", otherwise);
    printf("\n");
}

static void print(const struct show *s)
{
    json_t *all;
    if (s->look.options->json) {
        all = json_pack("{s:s, s:O, s:O, s:O?, s:O}", "call", s->sid, "session", s->session, "context", s->context,
                        "ledger", s->ledger, "journal", s->journal);
        table_print_object(all, true);
        json_decref(all);
        return;
    }
    print_section("session", s->session, "none: the call is not in Redis (any more)");
    print_section("context", s->context, "none: it has gone after its time, or was never there");
    print_section("in Postgres", s->ledger,
                  s->ledger_asked ? "nothing yet" : "Postgres does not answer; below is what Redis knows");
    printf("journal\n");
    table_print(columns, ARRAY_LEN(columns), s->journal, false);
}

int inspect_show(const struct flusher_config *config, const struct options *options)
{
    struct show s = {.sid = options->word_count == 2 ? options->words[1] : "", .mask = {.off = options->unmask}};
    bool ok;
    if (!call_sid_valid(s.sid)) {
        fprintf(stderr, "flusher: show needs the id of a call; flusher calls lists them\n");
        return 2;
    }
    ok = look_begin(&s.look, config, options) && read_all(&s);
    if (ok)
        print(&s);
    json_decref(s.context);
    json_decref(s.session);
    json_decref(s.ledger);
    json_decref(s.journal);
    mask_release(&s.mask);
    look_release(&s.look);
    return ok ? 0 : 1;
}
