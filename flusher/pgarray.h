/* One-dimensional Postgres arrays in the binary format (array_send in the server's arrayfuncs.c),
 * as parameters of a prepared statement. Pure: no connection, no clock. */
#pragma once
#include "common/base/base.h"

enum { PGARRAY_INT8_OID = 20, PGARRAY_TEXT_OID = 25 }; /* pg_type.dat */

/* bytes[0..len) is a whole array after every call that adds. */
struct pgarray {
    char *bytes;
    size_t len;
    size_t _cap;
    bool failed; /* out of memory, or more than Postgres takes; stays so */
};

void pgarray_init(struct pgarray *a, uint32_t element_oid);
void pgarray_release(struct pgarray *a);

/* NULL text is an SQL NULL. */
void pgarray_add_text(struct pgarray *a, const char *text, size_t len);
void pgarray_add_int8(struct pgarray *a, int64_t value);
