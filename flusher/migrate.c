#include "flusher/migrate.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher/database.h"
#include "flusher/own_session.h"
#include "migrate_sql.h"
#include "migrations.h"

enum { LOCK, SESSION, EXISTS, LIST, ADD, REMOVE }; /* rows of migrate_sql */

/* Rows of the embedded table come in pairs: NNNN_name.sql, NNNN_name_down.sql. */
enum { MIGRATION_COUNT = (int)(sizeof migrations / sizeof migrations[0]) / 2 };

enum { STEP_TRIES = 6, PAUSE_MS = 250 };

static int version_of(int i)
{
    return atoi(migrations[2 * i].name);
}

static int newest_version(void)
{
    return version_of(MIGRATION_COUNT - 1);
}

static const struct embedded_file *file_of(int i, bool up)
{
    return &migrations[2 * i + !up];
}

static int report(const char *what, const struct db_error *error)
{
    bool may_not = strcmp(error->sqlstate, "42501") == 0 || strcmp(error->sqlstate, "3F000") == 0;
    fprintf(stderr, "migrate: %s: %s%s%s%s\n", what, error->message, *error->sqlstate ? " " : "", error->sqlstate,
            may_not ? "; give --database-url with a role that may create tables in a schema of its search_path, and grant "
                      "them to the roles of the programs" : "");
    return 1;
}

/* -- what is applied -------------------------------------------------------------------------- */

/* The versions that are applied, as a mark per migration. */
static bool read_applied(PGconn *conn, bool applied[MIGRATION_COUNT], struct db_error *error)
{
    PGresult *exists = PQexec(conn, migrate_sql[EXISTS].text), *list;
    bool any = PQntuples(exists) == 1 && *PQgetvalue(exists, 0, 0) == 't';
    memset(applied, 0, MIGRATION_COUNT * sizeof *applied);
    if (!any)
        return db_check(conn, exists, error);
    PQclear(exists);
    list = PQexec(conn, migrate_sql[LIST].text);
    for (int row = 0; row < PQntuples(list); row++) {
        int version = atoi(PQgetvalue(list, row, 0));
        for (int i = 0; i < MIGRATION_COUNT; i++)
            applied[i] = applied[i] || version_of(i) == version;
    }
    return db_check(conn, list, error);
}

static bool note_version(PGconn *conn, int i, bool up, struct db_error *error)
{
    char version[12];
    const char *const values[] = {version, file_of(i, true)->name};
    snprintf(version, sizeof version, "%d", version_of(i));
    return db_check(conn,
                    PQexecParams(conn, migrate_sql[up ? ADD : REMOVE].text, up ? 2 : 1, NULL, values, NULL, NULL, 0),
                    error);
}

/* -- steps ------------------------------------------------------------------------------------ */

enum step_kind { STEP_TRANSACTION, STEP_BARE, STEP_REPEATED };

struct step {
    enum step_kind kind;
    const char *text; /* from its first line to the end of the file */
    size_t len;       /* of its own text */
    bool last;
};

static const char *next_marker(const char *text)
{
    static const char marker[] = "-- step";
    for (const char *at = text; (at = strstr(at, marker)); at++) {
        if (at == text || at[-1] == '\n')
            return at;
    }
    return NULL;
}

static enum step_kind kind_of(const char *marker)
{
    size_t line = strcspn(marker, "\n");
    if (memmem(marker, line, "outside a transaction", 21))
        return STEP_BARE;
    return memmem(marker, line, "repeated", 8) ? STEP_REPEATED : STEP_TRANSACTION;
}

/* The step that begins at text; a file without markers is one. false: there is none. */
static bool step_at(const char *text, struct step *step)
{
    const char *first = next_marker(text), *next;
    if (!*text || (first && !strchr(first, '\n')))
        return false;
    step->kind = first ? kind_of(first) : STEP_TRANSACTION;
    step->text = first ? strchr(first, '\n') + 1 : text;
    next = next_marker(step->text);
    step->len = next ? (size_t)(next - step->text) : strlen(step->text);
    step->last = next == NULL;
    return true;
}

static bool run_in_transaction(PGconn *conn, const struct step *step, const char *text, int i, bool up,
                               struct db_error *error)
{
    return db_run(conn, "begin", error) && db_run(conn, text, error) &&
           (!step->last || note_version(conn, i, up, error)) && db_run(conn, "commit", error);
}

/* *more: rows were changed, there may be others. */
static bool run_once_more(PGconn *conn, const char *text, bool *more, struct db_error *error)
{
    PGresult *result = PQexec(conn, text);
    *more = PQntuples(result) == 1 && atoll(PQgetvalue(result, 0, 0)) > 0;
    return db_check(conn, result, error);
}

static bool run_step(PGconn *conn, const struct step *step, const char *text, int i, bool up, struct db_error *error)
{
    bool more = true;
    switch (step->kind) {
    case STEP_TRANSACTION:
        return run_in_transaction(conn, step, text, i, up, error);
    case STEP_BARE: /* waits for others' transactions, and meanwhile holds nobody up */
        return db_run(conn, "reset lock_timeout", error) && db_run(conn, text, error) &&
               db_run(conn, migrate_sql[SESSION].text, error);
    case STEP_REPEATED:
        while (more) {
            if (!run_once_more(conn, text, &more, error))
                return false;
        }
        return true;
    }
    return false;
}

/* A lock that was not to be had, a deadlock, or a name that somebody else took at the same moment. */
static bool worth_another_try(const struct db_error *error)
{
    static const char *const passing[] = {"55P03", "40P01", "40001", "23505"};
    for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
        if (strcmp(error->sqlstate, passing[i]) == 0)
            return true;
    }
    return false;
}

static bool try_step(PGconn *conn, const struct step *step, int i, bool up, struct db_error *error)
{
    struct db_error ignored;
    char *text = strndup(step->text, step->len);
    bool ok = false;
    for (int tries = 0; text && !ok && tries < STEP_TRIES; tries++) {
        ok = run_step(conn, step, text, i, up, error);
        if (!ok && PQtransactionStatus(conn) != PQTRANS_IDLE && !db_run(conn, "rollback", &ignored))
            break;
        if (!ok && (step->kind == STEP_BARE || !worth_another_try(error)))
            break; /* what a bare step left is cleared by the steps before it */
        if (!ok)
            poll(NULL, 0, PAUSE_MS);
    }
    free(text);
    return ok;
}

static bool run_file(PGconn *conn, int i, bool up, struct db_error *error)
{
    const struct embedded_file *file = file_of(i, up);
    struct step step = {.text = file->text};
    for (const char *at = file->text; step_at(at, &step); at = step.text + step.len) {
        if (!try_step(conn, &step, i, up, error))
            return false;
    }
    printf("applied %s\n", file->name);
    fflush(stdout);
    return true;
}

/* -- migrate ---------------------------------------------------------------------------------- */

static bool lock(PGconn *conn, struct db_error *error)
{
    bool told = false;
    for (;;) {
        PGresult *result = PQexec(conn, migrate_sql[LOCK].text);
        bool ours = PQntuples(result) == 1 && *PQgetvalue(result, 0, 0) == 't';
        if (!db_check(conn, result, error))
            return false;
        if (ours)
            return true;
        if (!told)
            fprintf(stderr, "migrate: another migrate is at work; waiting for it\n");
        told = true;
        poll(NULL, 0, PAUSE_MS);
    }
}

static int run_files(PGconn *conn, int target, struct db_error *error)
{
    bool applied[MIGRATION_COUNT];
    if (!lock(conn, error) || !db_run(conn, migrate_sql[SESSION].text, error) || !read_applied(conn, applied, error))
        return report("cannot begin", error);
    for (int i = MIGRATION_COUNT - 1; i >= 0; i--) {
        if (version_of(i) > target && applied[i] && !run_file(conn, i, false, error))
            return report(file_of(i, false)->name, error);
    }
    for (int i = 0; i < MIGRATION_COUNT; i++) {
        if (version_of(i) <= target && !applied[i] && !run_file(conn, i, true, error))
            return report(file_of(i, true)->name, error);
    }
    printf("the schema is at version %d\n", target);
    return 0;
}

static bool is_known(int target)
{
    if (target <= newest_version())
        return true;
    fprintf(stderr, "migrate: there is no version %d; this flusher knows them up to %d\n", target, newest_version());
    return false;
}

int migrate(const char *database_url, int target)
{
    struct db_error error = {0};
    PGconn *conn;
    int code;
    if (!is_known(target))
        return 2;
    conn = db_connect(database_url, "", &error);
    if (!conn)
        return report("cannot connect", &error);
    if (!own_session(conn, database_url)) {
        fprintf(stderr, "migrate: a pooler gives each transaction another session of Postgres here, and the lock and the "
                        "settings of a migration need one for themselves; give --database-url with the address of Postgres "
                        "itself, or of a pool in session mode\n");
        PQfinish(conn);
        return 1;
    }
    code = run_files(conn, target == MIGRATE_NEWEST ? newest_version() : target, &error);
    PQfinish(conn);
    return code;
}

static int print_plan(PGconn *conn, int target, struct db_error *error)
{
    bool applied[MIGRATION_COUNT];
    if (!read_applied(conn, applied, error))
        return report("cannot read what is applied", error);
    for (int i = MIGRATION_COUNT - 1; i >= 0; i--) {
        if (version_of(i) > target && applied[i])
            printf("would apply %s\n", file_of(i, false)->name);
    }
    for (int i = 0; i < MIGRATION_COUNT; i++) {
        if (version_of(i) <= target && !applied[i])
            printf("would apply %s\n", file_of(i, true)->name);
    }
    return 0;
}

int migrate_plan(const char *database_url, int target)
{
    struct db_error error = {0};
    PGconn *conn;
    int code;
    if (!is_known(target))
        return 2;
    conn = db_connect(database_url, "", &error);
    if (!conn)
        return report("cannot connect", &error);
    code = print_plan(conn, target == MIGRATE_NEWEST ? newest_version() : target, &error);
    PQfinish(conn);
    return code;
}
