/* The flusher's prepared statements, with the overrides of RINGFLEET_SQL_DIR. */
#pragma once
#include "common/pg/statements.h"

struct sql {
    struct statement *statements;
    size_t count;
};

/* false: one sentence in error. Release in both cases. */
RF_NODISCARD bool sql_load(struct sql *sql, const char *sql_dir, char *error, size_t error_size);
void sql_release(struct sql *sql);

/* How many parameters apply_<type>.sql is given, and their types (pg_type OIDs); 0: name is none of these. */
int sql_parameters(const char *name, const unsigned **types);

/* The statement of that name; NULL: there is none. */
const struct statement *sql_named(const struct sql *sql, const char *name);
