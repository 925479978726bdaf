/* A command as it goes over the wire, written into a buffer that is used again: hiredis writes the same bytes,
 * at several times the cost. */
#pragma once
#include "common/base/base.h"

struct redis_command {
    char *text; /* len bytes, valid until the next write; no NUL behind it */
    size_t len, _size;
};

/* lens may be NULL: all arguments are then C strings. -1 when out of memory. */
RF_NODISCARD int redis_command_write(struct redis_command *command, int argc, const char **argv, const size_t *lens);

void redis_command_release(struct redis_command *command);
