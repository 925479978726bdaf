#include "flusher/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/redis/journal.h"
#include "flusher_sql.h"

enum { TEXT_ARRAY_OID = 1009, INT8_ARRAY_OID = 1016 }; /* pg_type.dat */

bool sql_load(struct sql *sql, const char *sql_dir, char *error, size_t error_size)
{
    sql->count = ARRAY_LEN(flusher_sql) - 1;
    sql->statements = calloc(sql->count, sizeof *sql->statements);
    if (!sql->statements) {
        snprintf(error, error_size, "out of memory");
        return false;
    }
    return statements_load(sql->statements, sql->count, flusher_sql, sql_dir, error, error_size) == 0;
}

void sql_release(struct sql *sql)
{
    if (sql->statements)
        statements_release(sql->statements, sql->count);
    free(sql->statements);
    memset(sql, 0, sizeof *sql);
}

int sql_parameters(const char *name, const unsigned **types)
{
    static const unsigned all[3 + JOURNAL_FIELDS_MAX] = {
        TEXT_ARRAY_OID, INT8_ARRAY_OID, INT8_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID,
        TEXT_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID, TEXT_ARRAY_OID};
    enum journal_type type = strncmp(name, "apply_", 6) == 0 ? journal_type_named(name + 6) : JOURNAL_UNKNOWN;
    *types = all;
    return type == JOURNAL_UNKNOWN ? 0 : 3 + journal_types[type].field_count;
}

const struct statement *sql_named(const struct sql *sql, const char *name)
{
    for (size_t i = 0; i < sql->count; i++) {
        if (strcmp(sql->statements[i].name, name) == 0)
            return &sql->statements[i];
    }
    return NULL;
}
