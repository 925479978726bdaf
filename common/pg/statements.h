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

/* Calls fn with each file of sql_dir whose name begins as one of the statements does, up to the "_", and ends in .sql,
 * and is none of theirs: most likely it is misspelt, and it is never read. Returns how many there are. */
typedef void statements_stray_fn(const char *file_name);
size_t statements_strays(const struct statement *statements, size_t count, const char *sql_dir, statements_stray_fn *fn);
