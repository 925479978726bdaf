/* `flusher jobs list|retry|discard` and `flusher recording CALL`: what is done after calls, for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/database.h"
#include "flusher/inspect/inspect.h"
#include "flusher/inspect/table.h"
#include "flusher/jobs/statements.h"

enum { MOST = 1000 };

static const struct column job_columns[] = {
    {"kind", "JOB", CELL_TEXT},        {"subject", "SUBJECT", CELL_TEXT}, {"call_sid", "CALL", CELL_TEXT},
    {"state", "STATE", CELL_TEXT},     {"attempts", "TRIES", CELL_TEXT},  {"age_ms", "AGE", CELL_AGE},
    {"due_ms", "DUE IN", CELL_AGE},    {"error", "WHY", CELL_TEXT},
};

static const struct column recording_columns[] = {
    {"recording_sid", "RECORDING", CELL_TEXT},  {"status", "STATUS", CELL_TEXT},
    {"duration_seconds", "SECONDS", CELL_TEXT}, {"bytes", "BYTES", CELL_TEXT},
    {"location", "WHERE", CELL_TEXT},           {"error", "WHY", CELL_TEXT},
};

struct desk {
    struct job_statements statements;
    PGconn *conn;
};

static bool desk_open(struct desk *desk, const struct flusher_config *config)
{
    struct db_error error = {0};
    char why[512];
    *desk = (struct desk){0};
    if (!job_statements_load(&desk->statements, config, why, sizeof why)) {
        fprintf(stderr, "flusher: %s\n", why);
        return false;
    }
    desk->conn = db_connect(config->database_url, "", &error);
    if (!desk->conn)
        fprintf(stderr, "flusher: Postgres: %s\n", error.message);
    return desk->conn != NULL;
}

static void desk_close(struct desk *desk)
{
    PQfinish(desk->conn);
    job_statements_release(&desk->statements);
}

/* NULL, with a word on stderr. */
static PGresult *run(struct desk *desk, enum job_statement statement, int count, const char *const *params)
{
    struct db_error error = {0};
    PGresult *result =
        PQexecParams(desk->conn, desk->statements.texts[statement].text, count, NULL, params, NULL, NULL, 0);
    if (PQresultStatus(result) == PGRES_TUPLES_OK)
        return result;
    db_error_set(desk->conn, result, &error);
    fprintf(stderr, "flusher: Postgres: %s; flusher/sql/README.md says how the tables are made\n", error.message);
    PQclear(result);
    return NULL;
}

static json_t *value_at(const PGresult *rows, int row, int column)
{
    enum { INT4_OID = 23, INT8_OID = 20 };
    Oid type = PQftype(rows, column);
    if (PQgetisnull(rows, row, column))
        return json_null();
    if (type == INT4_OID || type == INT8_OID)
        return json_integer(strtoll(PQgetvalue(rows, row, column), NULL, 10));
    return json_string(PQgetvalue(rows, row, column));
}

static json_t *json_of(const PGresult *rows)
{
    json_t *all = json_array();
    for (int row = 0; row < PQntuples(rows); row++) {
        json_t *object = json_object();
        for (int column = 0; column < PQnfields(rows); column++)
            json_object_set_new(object, PQfname(rows, column), value_at(rows, row, column));
        json_array_append_new(all, object);
    }
    return all;
}

static int show(struct desk *desk, enum job_statement statement, int count, const char *const *params,
                const struct column *columns, size_t column_count, bool as_json)
{
    PGresult *rows = run(desk, statement, count, params);
    json_t *all;
    if (!rows)
        return 1;
    all = json_of(rows);
    if (json_array_size(all) > MOST) {
        fprintf(stderr, "flusher: there are more than %d; the oldest are shown\n", (int)MOST);
        json_array_remove(all, MOST);
    }
    table_print(columns, column_count, all, as_json);
    json_decref(all);
    PQclear(rows);
    return 0;
}

static int decide(struct desk *desk, const char *what, const char *which)
{
    bool retry = strcmp(what, "retry") == 0;
    const char *const params[] = {strcmp(which, "all") == 0 ? NULL : which};
    PGresult *rows = run(desk, retry ? JOB_SQL_RETRY : JOB_SQL_DISCARD, 1, params);
    int count = rows ? PQntuples(rows) : 0;
    for (int row = 0; row < count; row++)
        printf("%s %s %s of call %s\n", retry ? "again:" : "discarded:", PQgetvalue(rows, row, 0),
               PQgetvalue(rows, row, 1), PQgetvalue(rows, row, 2));
    if (rows && count == 0)
        fprintf(stderr, "flusher: no such job was given up\n");
    PQclear(rows);
    return count > 0 ? 0 : 1;
}

static bool is_state(const char *word)
{
    return strcmp(word, "waiting") == 0 || strcmp(word, "dead") == 0;
}

int inspect_jobs(const struct flusher_config *config, const struct options *options)
{
    const char *what = options->words[1], *which = options->word_count > 2 ? options->words[2] : NULL;
    char most[12];
    const char *const params[] = {which, most};
    bool lists = strcmp(what, "list") == 0 && (!which || is_state(which));
    bool decides = (strcmp(what, "retry") == 0 || strcmp(what, "discard") == 0) && which;
    struct desk desk;
    int code = 1;
    if (!lists && !decides) {
        fprintf(stderr, "flusher: jobs [list [waiting | dead] | retry WHICH | discard WHICH]; WHICH is the id of a "
                        "recording, the id of a call, or all\n");
        return 2;
    }
    snprintf(most, sizeof most, "%d", MOST + 1); /* one more says that there are more */
    if (desk_open(&desk, config))
        code = lists ? show(&desk, JOB_SQL_LIST, 2, params, job_columns, ARRAY_LEN(job_columns), options->json)
                     : decide(&desk, what, which);
    desk_close(&desk);
    return code;
}

int inspect_recording(const struct flusher_config *config, const struct options *options)
{
    struct desk desk;
    int code = 1;
    if (options->word_count < 2) {
        fprintf(stderr, "flusher: recording CALL\n");
        return 2;
    }
    if (desk_open(&desk, config))
        code = show(&desk, JOB_SQL_RECORDINGS, 1, &options->words[1], recording_columns, ARRAY_LEN(recording_columns),
                    options->json);
    desk_close(&desk);
    return code;
}
