#include "warmer/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/foreign_json.h"
#include "common/redis/context.h"
#include "warmer/call_store.h"
#include "warmer/context.h"
#include "warmer/load.h"
#include "warmer/local_time.h"

enum { SHOWN_MAX = 60 };

/* Made here, or by the carrier, and not asked of the database. */
static const char *const made[] = {"greeting", "prompt_compact", "prompt_full", "source", "answered_by",
                                   "booked_slots_missing"};

/* Without these a call would promise what is taken, or write to nobody. */
static const char *const needed[] = {"business_id", "lead_id", "booked_slots", "business_timezone"};

static const char *const wanted[] = {
#define X(name) #name,
    CONTEXT_FIELDS(X)
#undef X
};

bool check_asked(int *argc, char **argv, struct check_spec *spec)
{
    bool asked = false;
    int kept = 1;
    *spec = (struct check_spec){NULL, NULL};
    for (int i = 1; i < *argc; i++)
        asked = asked || strcmp(argv[i], "--check") == 0;
    for (int i = 1; i < *argc && asked; i++) {
        if (strcmp(argv[i], "--check") == 0)
            continue;
        if (strcmp(argv[i], "--from") == 0 && i + 1 < *argc)
            spec->from = argv[++i];
        else if (strcmp(argv[i], "--to") == 0 && i + 1 < *argc)
            spec->to = argv[++i];
        else
            argv[kept++] = argv[i];
    }
    if (asked)
        *argc = kept;
    return asked;
}

static bool is_among(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    return false;
}

/* Prepares one statement; its description, or NULL after saying why not. */
static PGresult *prepare(PGconn *conn, const struct pg_prepared *want)
{
    const struct statement *statement = want->statement;
    char why[1024];
    PGresult *result = PQprepare(conn, statement->name, statement->text, 0, NULL);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQdescribePrepared(conn, statement->name);
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        prepared_refused(want, result, why, sizeof why);
    else if (prepared_fits(want, result, why, sizeof why) &&
             prepared_permitted(conn, statement, want->params, why, sizeof why)) {
        printf("ok    %s.sql%s\n", statement->name, statement->overridden ? " (overridden)" : "");
        return result;
    }
    printf("BAD   %s\n", why);
    PQclear(result);
    return NULL;
}

/* What the two statements that fill a context return: descriptions, or rows. */
struct both {
    PGresult *load, *booked; /* the latter NULL: it is not used */
};

static void both_clear(struct both *both)
{
    PQclear(both->load);
    PQclear(both->booked);
}

/* Returns how many of the needed ones are missing. */
static int print_missing(const struct both *descriptions)
{
    const char *where = descriptions->booked ? "neither load_call_context.sql nor load_booked_times.sql has a"
                                             : "load_call_context.sql has no";
    int missing = 0;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        bool need = is_among(wanted[i], needed, ARRAY_LEN(needed));
        if (PQfnumber(descriptions->load, wanted[i]) >= 0 || PQfnumber(descriptions->booked, wanted[i]) >= 0 ||
            is_among(wanted[i], made, ARRAY_LEN(made)))
            continue;
        printf("%s  %s result column %s%s\n", need ? "BAD " : "none", where, wanted[i],
               need ? ", which workers need" : "; workers do without");
        missing += need;
    }
    return missing;
}

/* One line a field, cut where it gets long. */
static void print_field(const char *name, const char *value)
{
    char shown[SHOWN_MAX + 1];
    size_t len = 0;
    for (; value[len] && len < SHOWN_MAX; len++)
        shown[len] = value[len] == '\n' ? ' ' : value[len];
    while (len > 0 && value[len] && ((unsigned char)value[len] & 0xC0) == 0x80)
        len--; /* whole characters */
    shown[len] = '\0';
    printf("      %-28s %s%s\n", name, shown, value[len] ? ".." : "");
}

static void print_columns(const struct both *descriptions)
{
    printf("fields of a call, if they are not null:\n");
    for (int i = 0; i < PQnfields(descriptions->load); i++)
        printf("      %s\n", PQfname(descriptions->load, i));
    for (int i = 0; i < PQnfields(descriptions->booked); i++)
        printf("      %s\n", PQfname(descriptions->booked, i));
}

/* Returns how many fields are too large. */
static int take_columns(struct context *context, const PGresult *row)
{
    int wrong = 0;
    for (int i = 0; i < PQnfields(row) && PQntuples(row) == 1; i++) {
        if (!PQgetisnull(row, 0, i) && context_set(context, PQfname(row, i), PQgetvalue(row, 0, i)) != 0) {
            printf("BAD   %s is too large for a context\n", PQfname(row, i));
            wrong++;
        }
    }
    return wrong;
}

/* Why these rows are no context, or NULL. */
static const char *wrong_with(const struct both *rows, const char **statement)
{
    *statement = "load_call_context";
    if (PQresultStatus(rows->load) != PGRES_TUPLES_OK)
        return PQresultErrorMessage(rows->load);
    if (PQntuples(rows->load) == 0 || (PQntuples(rows->load) == 1 && PQgetisnull(rows->load, 0, PQfnumber(rows->load, "business_id"))))
        return "no business has this number";
    if (PQntuples(rows->load) > 1)
        return "more than one row";
    *statement = "load_booked_times";
    if (rows->booked && PQresultStatus(rows->booked) != PGRES_TUPLES_OK)
        return PQresultErrorMessage(rows->booked);
    return rows->booked && PQntuples(rows->booked) > 1 ? "more than one row" : NULL;
}

/* An array of objects with these two, in ISO 8601 with an offset. */
static bool are_times(const json_t *slots)
{
    static const char *const names[] = {"start", "end"};
    const json_t *slot;
    size_t i;
    json_array_foreach(slots, i, slot) {
        for (size_t n = 0; n < ARRAY_LEN(names); n++) {
            const char *time = json_string_value(json_object_get(slot, names[n]));
            size_t len = time ? strlen(time) : 0;
            if (len < 17 || time[10] != 'T' || (time[len - 1] != 'Z' && (time[len - 3] != ':' || !strchr("+-", time[len - 6]))))
                return false;
        }
    }
    return json_is_array(slots);
}

static bool is_object(const json_t *value)
{
    return json_is_object(value);
}

static bool is_array(const json_t *value)
{
    return json_is_array(value);
}

static int check_zone(const struct context *context)
{
    const char *zone = context_get(context, "business_timezone");
    if (!*zone || local_time_zone(zone))
        return 0;
    printf("BAD   business_timezone is not the name of a time zone, such as Europe/Berlin: %s\n", zone);
    return 1;
}

/* What workers read out of fields is looked at by shape alone. Returns how many are not in it. */
static int check_shapes(const struct context *context)
{
    static const struct {
        const char *name;
        bool (*good)(const json_t *value);
        const char *want;
    } shapes[] = {
        {"booked_slots", are_times, "[{\"start\": \"2026-11-24T10:00:00+02:00\", \"end\": ..}, ..], with the offset"},
        {"working_hours", is_object, "{\"mon\": [[\"09:00\", \"18:00\"]], ..}"},
        {"transfer_numbers", is_object, "{\"sales\": \"+4930111\", ..}"},
        {"tools", is_array, "[{\"name\": .., \"url\": ..}, ..]"},
    };
    int wrong = 0;
    for (size_t i = 0; i < ARRAY_LEN(shapes); i++) {
        const char *text = context_get(context, shapes[i].name);
        json_t *value = foreign_json_text(text);
        if (*text && !shapes[i].good(value)) {
            printf("BAD   %s is not %s\n", shapes[i].name, shapes[i].want);
            wrong++;
        }
        json_decref(value);
    }
    return wrong;
}

/* What a call to that number gets, prompts included. Returns how many things are wrong with it. */
static int print_call(PGconn *conn, const struct check_spec *spec, bool uses_booked)
{
    const char *const params[] = {"check", spec->from ? spec->from : "anonymous", spec->to, "inbound"};
    struct both rows = {PQexecPrepared(conn, "load_call_context", 4, params, NULL, NULL, 0), NULL};
    struct context context = {0};
    const char *why, *statement;
    int wrong = 1;
    if (uses_booked)
        rows.booked = PQexecPrepared(conn, "load_booked_times", 4, params, NULL, NULL, 0);
    why = wrong_with(&rows, &statement);
    if (why) {
        printf("BAD   %s.sql: %s\n", statement, why);
    } else {
        int64_t now = clock_wall_ms() / 1000;
        wrong = take_columns(&context, rows.load) + check_zone(&context);
        wrong += context_render_first(&context, CONTEXT_VOICE, now);
        wrong += take_columns(&context, rows.booked) + context_render_rest(&context, CONTEXT_VOICE) + check_shapes(&context);
        printf("a call from %s to %s gets:\n", params[1], params[2]);
        for (size_t i = 0; i < context.count; i++)
            print_field(context.fields[i].name, context.fields[i].value);
    }
    context_release(&context);
    both_clear(&rows);
    return wrong;
}

static void print_stray(const char *file_name)
{
    printf("BAD   there is no statement %s, so it is never read\n", file_name);
}

/* Files that begin as ours do, and are none. */
static int check_names(const struct load_statements *load, const struct call_statements *calls, const char *sql_dir)
{
    struct statement all[LOAD_STATEMENT_COUNT + CALL_STATEMENT_COUNT];
    memcpy(all, load->statements, sizeof load->statements);
    memcpy(all + LOAD_STATEMENT_COUNT, calls->texts, sizeof calls->texts);
    return (int)statements_strays(all, ARRAY_LEN(all), sql_dir, print_stray);
}

/* What is needed only where people are called from here, or a provider reports. Returns how many things are wrong. */
static int check_calls(PGconn *conn, const struct warmer_config *config, const struct load_statements *load)
{
    struct call_statements statements = {0};
    bool read = call_statements_read(&statements, config);
    int wrong = read ? check_names(load, &statements, config->sql_dir) : 1;
    for (size_t i = 0; i < statements.used_count; i++) {
        PGresult *description = prepare(conn, &statements.used[i]);
        wrong += description == NULL;
        PQclear(description);
    }
    call_statements_release(&statements);
    return wrong;
}

static int check(PGconn *conn, const struct load_statements *statements, const struct check_spec *spec)
{
    PGresult *open = prepare(conn, &statements->prepared[OPEN_CALL]);
    struct both descriptions = {prepare(conn, &statements->prepared[LOAD_CALL_CONTEXT]), NULL};
    bool uses_booked = statements->used > LOAD_BOOKED_TIMES;
    int wrong = (open == NULL) + (descriptions.load == NULL);
    if (uses_booked) {
        descriptions.booked = prepare(conn, &statements->prepared[LOAD_BOOKED_TIMES]);
        wrong += descriptions.booked == NULL;
    } else {
        printf("none  load_booked_times.sql is not used: %s\n",
               statements->statements[LOAD_BOOKED_TIMES].overridden ? "it is empty"
                                                                    : "the built-in one goes with the built-in load_call_context.sql");
    }
    if (descriptions.load && (descriptions.booked || !uses_booked)) {
        wrong += print_missing(&descriptions);
        if (spec->to)
            wrong += print_call(conn, spec, uses_booked);
        else
            print_columns(&descriptions);
    }
    PQclear(open);
    both_clear(&descriptions);
    return wrong;
}

/* Nothing is to change, whatever the statements are. */
static PGconn *connect_read_only(const struct warmer_config *config)
{
    const char *const keys[] = {"dbname", "application_name", "options", NULL};
    const char *const values[] = {config->database_url, "warmer-check", "-c default_transaction_read_only=on", NULL};
    return PQconnectdbParams(keys, values, 1);
}

int check_run(const struct warmer_config *config, const struct check_spec *spec)
{
    struct load_statements statements;
    PGconn *conn = NULL;
    int wrong = 1;
    if (!load_statements_read(&statements, config->sql_dir)) {
        printf("BAD   the SQL cannot be read; the log says why\n");
        goto out;
    }
    conn = connect_read_only(config);
    if (PQstatus(conn) != CONNECTION_OK) {
        printf("BAD   cannot connect: %s", PQerrorMessage(conn));
        goto out;
    }
    wrong = check(conn, &statements, spec) + check_calls(conn, config, &statements);
    if (wrong)
        printf("things that are wrong: %d\n", wrong);
    else
        printf("the contract is met\n");
out:
    PQfinish(conn);
    load_statements_release(&statements);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
