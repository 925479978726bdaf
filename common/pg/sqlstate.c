#include "common/pg/sqlstate.h"

#include <string.h>

static bool has_class(const char *sqlstate, const char *const *classes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strncmp(sqlstate, classes[i], 2) == 0)
            return true;
    }
    return false;
}

enum pg_fault pg_fault_of(const char *sqlstate)
{
    static const char *const data[] = {"21", "22", "23", "44", "54", "P0"};
    static const char *const schema[] = {"42", "3F", "3D", "26", "0A"};
    if (!sqlstate || strlen(sqlstate) != 5)
        return PG_FAULT_SERVER;
    if (has_class(sqlstate, data, ARRAY_LEN(data)))
        return PG_FAULT_DATA;
    return has_class(sqlstate, schema, ARRAY_LEN(schema)) ? PG_FAULT_SCHEMA : PG_FAULT_SERVER;
}

bool pg_fault_is_strange(const char *sqlstate)
{
    static const char *const passing[] = {"08", "25", "28", "40", "53", "55", "57", "58"};
    return sqlstate && strlen(sqlstate) == 5 && pg_fault_of(sqlstate) == PG_FAULT_SERVER &&
           !has_class(sqlstate, passing, ARRAY_LEN(passing));
}

bool pg_fault_may_be_partial(const char *sqlstate)
{
    static const char *const missing[] = {"42", "3F"};
    if (!sqlstate || *pg_shared_session_advice(sqlstate))
        return false;
    return pg_fault_is_strange(sqlstate) || has_class(sqlstate, missing, ARRAY_LEN(missing)) ||
           strcmp(sqlstate, PG_LOCK_NOT_AVAILABLE) == 0 || strcmp(sqlstate, PG_QUERY_CANCELED) == 0;
}

const char *pg_shared_session_advice(const char *sqlstate)
{
    /* duplicate_prepared_statement, invalid_sql_statement_name */
    bool shared = sqlstate && (strcmp(sqlstate, "42P05") == 0 || strcmp(sqlstate, "26000") == 0);
    return shared ? "; a pooler between this and Postgres must keep prepared statements (PgBouncer from 1.21, "
                    "max_prepared_statements) or pool whole sessions"
                  : "";
}

bool pg_answer_lost(const PGresult *result)
{
    return PQresultStatus(result) == PGRES_FATAL_ERROR && !PQresultErrorField(result, PG_DIAG_SQLSTATE);
}
