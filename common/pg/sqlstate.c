#include "common/pg/sqlstate.h"

#include <string.h>

enum pg_fault pg_fault_of(const char *sqlstate)
{
    static const char *const data[] = {"21", "22", "23", "44", "54", "P0"};
    static const char *const schema[] = {"42", "3F", "3D", "26", "0A"};
    if (!sqlstate || strlen(sqlstate) != 5)
        return PG_FAULT_SERVER;
    for (size_t i = 0; i < ARRAY_LEN(data); i++) {
        if (strncmp(sqlstate, data[i], 2) == 0)
            return PG_FAULT_DATA;
    }
    for (size_t i = 0; i < ARRAY_LEN(schema); i++) {
        if (strncmp(sqlstate, schema[i], 2) == 0)
            return PG_FAULT_SCHEMA;
    }
    return PG_FAULT_SERVER;
}
