#include "flusher/migrate.h"

#include <stdio.h>
#include <stdlib.h>

#include "flusher/database.h"
#include "migrate_sql.h"
#include "migrations.h"

enum { BEGIN, EXISTS, LIST, ADD, REMOVE }; /* rows of migrate_sql */

/* Rows of the embedded table come in pairs: NNNN_name.sql, NNNN_name_down.sql. */
enum { MIGRATION_COUNT = (int)(sizeof migrations / sizeof migrations[0]) / 2 };

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

/* 1 applied, 0 not, -1 error. */
static int is_applied(PGconn *conn, int version, struct db_error *error)
{
    PGresult *result = PQexec(conn, migrate_sql[LIST].text);
    int found = 0;
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        db_error_set(conn, result, error);
        found = -1;
    }
    for (int row = 0; row < PQntuples(result) && !found; row++)
        found = atoi(PQgetvalue(result, row, 0)) == version;
    PQclear(result);
    return found;
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

/* One migration in its own transaction, unless it is already so. */
static bool step(PGconn *conn, int i, bool up, struct db_error *error)
{
    const struct embedded_file *file = file_of(i, up);
    int applied;
    if (!db_run(conn, migrate_sql[BEGIN].text, error))
        return false;
    applied = is_applied(conn, version_of(i), error);
    if (applied < 0)
        return false;
    if ((applied == 1) == up)
        return db_run(conn, "rollback", error);
    if (!db_run(conn, file->text, error) || !note_version(conn, i, up, error) || !db_run(conn, "commit", error))
        return false;
    printf("applied %s\n", file->name);
    return true;
}

static int report(const char *what, const struct db_error *error)
{
    fprintf(stderr, "migrate: %s: %s%s%s\n", what, error->message, *error->sqlstate ? " " : "", error->sqlstate);
    return 1;
}

int migrate(const char *database_url, int target)
{
    struct db_error error;
    PGconn *conn = db_connect(database_url, "", &error);
    int code = 0;
    if (!conn)
        return report("cannot connect", &error);
    if (target == MIGRATE_NEWEST)
        target = newest_version();
    for (int i = MIGRATION_COUNT - 1; i >= 0 && code == 0; i--) {
        if (version_of(i) > target && !step(conn, i, false, &error))
            code = report(file_of(i, false)->name, &error);
    }
    for (int i = 0; i < MIGRATION_COUNT && code == 0; i++) {
        if (version_of(i) <= target && !step(conn, i, true, &error))
            code = report(file_of(i, true)->name, &error);
    }
    if (code == 0)
        printf("the schema is at version %d\n", target < newest_version() ? target : newest_version());
    PQfinish(conn);
    return code;
}

int migrate_plan(const char *database_url, int target)
{
    struct db_error error;
    PGconn *conn = db_connect(database_url, "", &error);
    PGresult *exists;
    bool any;
    if (!conn)
        return report("cannot connect", &error);
    if (target == MIGRATE_NEWEST)
        target = newest_version();
    exists = PQexec(conn, migrate_sql[EXISTS].text);
    any = PQntuples(exists) == 1 && *PQgetvalue(exists, 0, 0) == 't';
    PQclear(exists);
    for (int i = MIGRATION_COUNT - 1; i >= 0; i--) {
        if (version_of(i) > target && any && is_applied(conn, version_of(i), &error) == 1)
            printf("would apply %s\n", file_of(i, false)->name);
    }
    for (int i = 0; i < MIGRATION_COUNT; i++) {
        if (version_of(i) <= target && !(any && is_applied(conn, version_of(i), &error) == 1))
            printf("would apply %s\n", file_of(i, true)->name);
    }
    PQfinish(conn);
    return 0;
}
