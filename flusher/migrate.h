/* `flusher migrate`: the default schema, as numbered files with a way back each. One transaction per
 * migration; two at once are safe. */
#pragma once
#include "common/base/base.h"

enum { MIGRATE_NEWEST = -1 };

/* Goes up, or down, to version target and prints each step on stdout. Returns the exit code; on 1
 * one sentence was printed on stderr, and the steps printed before it hold. */
int migrate(const char *database_url, int target);

/* Prints what migrate would do, and changes nothing. */
int migrate_plan(const char *database_url, int target);
