/* Rows as a readable table, or as JSON. */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

struct column {
    const char *key;   /* member of each row */
    const char *title;
    enum { CELL_TEXT, CELL_AGE, CELL_TIME } kind; /* AGE: milliseconds; TIME: milliseconds since 1970 */
};

/* rows is an array of objects; a member that is missing or null is shown as "-". With as_json the rows are printed as
 * they are. */
void table_print(const struct column *columns, size_t count, const json_t *rows, bool as_json);

/* One line of a list that goes on and on. */
void table_print_line(size_t count, const char *const *cells);

/* One object, a member a line, or as JSON. */
void table_print_object(const json_t *object, bool as_json);

/* 2026-11-20T13:45:01.123Z */
enum { TIME_TEXT_SIZE = 96 };
const char *table_time(char out[TIME_TEXT_SIZE], int64_t ms);
