/* SQL statements from files: embedded in the binary, each overridable by name from a directory
 * (RINGFLEET_SQL_DIR), so that people bring their own schema. */
#pragma once
#include "common/base/base.h"
#include "common/base/embedded.h"

struct statement {
    char *name;       /* owned; file name without .sql, also the name it is prepared under */
    char *text;       /* owned */
    bool overridden;  /* read from the directory */
};

/* Fills out[i] for each embedded file, in the table's order; count must match the table. sql_dir
 * may be "" (no overrides). A missing file in the directory means the default; one that cannot be
 * read, or a missing directory, is an error: -1 with one sentence. Release in both cases. */
RF_NODISCARD int statements_load(struct statement *out, size_t count, const struct embedded_file *defaults,
                                 const char *sql_dir, char *error, size_t error_size);
void statements_release(struct statement *statements, size_t count);
