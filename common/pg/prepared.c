#include "common/pg/prepared.h"

#include <stdio.h>
#include <string.h>

#include "common/pg/sqlstate.h"

static const char INSUFFICIENT_PRIVILEGE[] = "42501";

/* A column's name becomes a field's name: a plain word, and only once. */
static bool column_name_good(const PGresult *description, int column)
{
    const char *name = PQfname(description, column);
    if (name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")] || !*name)
        return false;
    for (int i = 0; i < column; i++) {
        if (strcmp(PQfname(description, i), name) == 0)
            return false;
    }
    return true;
}

void prepared_refused(const struct pg_prepared *want, const PGresult *answer, char *why, size_t size)
{
    const char *error = PQresultErrorMessage(answer);
    size_t len = strlen(error);
    while (len > 0 && error[len - 1] == '\n')
        len--;
    snprintf(why, size, "%s.sql cannot be prepared: %.*s%s", want->statement->name, (int)len, error,
             pg_shared_session_advice(PQresultErrorField(answer, PG_DIAG_SQLSTATE)));
}

bool prepared_fits(const struct pg_prepared *want, const PGresult *description, char *why, size_t size)
{
    const char *name = want->statement->name;
    if (PQnparams(description) != want->params) {
        snprintf(why, size, "%s.sql takes %d parameters instead of %d", name, PQnparams(description), want->params);
        return false;
    }
    for (int i = 0; i < PQnfields(description); i++) {
        if (!column_name_good(description, i)) {
            snprintf(why, size, "%s.sql: result column %d needs a name of its own, not \"%s\"", name, i + 1,
                     PQfname(description, i));
            return false;
        }
    }
    for (const char *const *column = want->columns; *column; column++) {
        if (PQfnumber(description, *column) < 0) {
            snprintf(why, size, "%s.sql has no result column %s", name, *column);
            return false;
        }
    }
    return true;
}

bool prepared_permitted(PGconn *conn, const struct statement *statement, int params, char *why, size_t size)
{
    char text[512], *quoted = PQescapeIdentifier(conn, statement->name, strlen(statement->name));
    const char *sqlstate;
    PGresult *result;
    bool ok;
    size_t len = (size_t)snprintf(text, sizeof text, "explain execute %s%s", quoted ? quoted : "", params > 0 ? "(" : "");
    PQfreemem(quoted);
    for (int i = 0; i < params && len < sizeof text - 8; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "null%s", i + 1 < params ? ", " : ")");
    result = PQexec(conn, text);
    sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    ok = !sqlstate || strcmp(sqlstate, INSUFFICIENT_PRIVILEGE) != 0;
    if (!ok)
        snprintf(why, size, "%s.sql: %s: grant it to the role of RINGFLEET_DATABASE_URL", statement->name,
                 PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(result);
    return ok;
}
