#include "warmer/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/redis/context.h"
#include "warmer/call_store.h"
#include "warmer/context.h"
#include "warmer/load.h"

enum { SHOWN_MAX = 60 };

/* Made here, or by the carrier, and not asked of the database. */
static const char *const made[] = {"greeting", "prompt_compact", "prompt_full", "source", "answered_by"};

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
    char why[512];
    PGresult *result = PQprepare(conn, statement->name, statement->text, 0, NULL);
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        PQclear(result);
        result = PQdescribePrepared(conn, statement->name);
    }
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        printf("BAD   %s.sql cannot be prepared: %s", statement->name, PQresultErrorMessage(result));
    else if (!prepared_fits(want, result, why, sizeof why))
        printf("BAD   %s\n", why);
    else {
        printf("ok    %s.sql%s\n", statement->name, statement->overridden ? " (overridden)" : "");
        return result;
    }
    PQclear(result);
    return NULL;
}

/* Returns how many of the needed ones are missing. */
static int print_missing(const PGresult *row)
{
    int missing = 0;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        bool need = is_among(wanted[i], needed, ARRAY_LEN(needed));
        if (PQfnumber(row, wanted[i]) >= 0 || is_among(wanted[i], made, ARRAY_LEN(made)))
            continue;
        if (need)
            printf("BAD   load_call_context.sql has no result column %s, which workers need\n", wanted[i]);
        else
            printf("none  load_call_context.sql has no result column %s; workers do without\n", wanted[i]);
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

static void print_columns(const PGresult *description)
{
    printf("fields of a call, if they are not null:\n");
    for (int i = 0; i < PQnfields(description); i++)
        printf("      %s\n", PQfname(description, i));
}

/* What a call to that number gets, prompts included. Returns how many things are wrong with it. */
static int print_call(PGconn *conn, const struct check_spec *spec)
{
    const char *const params[] = {"check", spec->from ? spec->from : "anonymous", spec->to, "inbound"};
    PGresult *row = PQexecPrepared(conn, "load_call_context", 4, params, NULL, NULL, 0);
    struct context context = {0};
    int wrong = 0;
    if (PQresultStatus(row) != PGRES_TUPLES_OK || PQntuples(row) != 1 || PQgetisnull(row, 0, PQfnumber(row, "business_id"))) {
        printf("BAD   load_call_context.sql: %s\n", PQresultStatus(row) != PGRES_TUPLES_OK ? PQresultErrorMessage(row)
                                                    : PQntuples(row) > 1 ? "more than one row"
                                                                         : "no business has this number");
        PQclear(row);
        return 1;
    }
    for (int i = 0; i < PQnfields(row); i++) {
        if (!PQgetisnull(row, 0, i) && context_set(&context, PQfname(row, i), PQgetvalue(row, 0, i)) != 0) {
            printf("BAD   %s is too large for a context\n", PQfname(row, i));
            wrong++;
        }
    }
    wrong += context_render(&context, CONTEXT_VOICE, clock_wall_ms() / 1000);
    printf("a call from %s to %s gets:\n", params[1], params[2]);
    for (size_t i = 0; i < context.count; i++)
        print_field(context.fields[i].name, context.fields[i].value);
    context_release(&context);
    PQclear(row);
    return wrong;
}

/* What is needed only where people are called from here, or a provider reports. Returns how many things are wrong. */
static int check_calls(PGconn *conn, const struct warmer_config *config)
{
    struct call_statements statements = {0};
    int wrong = !call_statements_read(&statements, config);
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
    int wrong = 0;
    for (size_t i = 0; i < LOAD_STATEMENT_COUNT; i++) {
        PGresult *description = prepare(conn, &statements->prepared[i]);
        wrong += description == NULL;
        if (description && i == LOAD_CALL_CONTEXT) {
            wrong += print_missing(description);
            if (spec->to)
                wrong += print_call(conn, spec);
            else
                print_columns(description);
        }
        PQclear(description);
    }
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
    wrong = check(conn, &statements, spec) + check_calls(conn, config);
    if (wrong)
        printf("things that are wrong: %d\n", wrong);
    else
        printf("the contract is met\n");
out:
    PQfinish(conn);
    load_statements_release(&statements);
    return wrong ? EXIT_FAILURE : EXIT_SUCCESS;
}
