#include "flusher/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flusher_sql.h"

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

const struct statement *sql_named(const struct sql *sql, const char *name)
{
    for (size_t i = 0; i < sql->count; i++) {
        if (strcmp(sql->statements[i].name, name) == 0)
            return &sql->statements[i];
    }
    return NULL;
}
