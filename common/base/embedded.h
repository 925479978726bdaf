/* A text file compiled into the binary (SQL, Lua). common/embed.py writes the tables. */
#pragma once
#include <stddef.h>

struct embedded_file {
    const char *name; /* file name without folder; NULL ends a table */
    const char *text;
};
