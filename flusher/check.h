/* `flusher check`: would a flusher with this configuration work? */
#pragma once
#include "flusher/config.h"

/* Looks at Redis, Postgres and every statement, prints a line for each and changes nothing. Returns the exit code. */
int check(const struct flusher_config *config);
