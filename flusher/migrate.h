/* `flusher migrate`: the default schema, as numbered files with a way back each.
 *
 * A file is one transaction, unless it is cut into steps by lines that begin with "-- step":
 *
 *     -- step                              one transaction
 *     -- step, outside a transaction       one statement by itself (create index concurrently)
 *     -- step, repeated until it returns 0 one statement, in a transaction each time (a backfill in chunks)
 *
 * The version is noted in the transaction of the last step, which must have one. A file that stops half
 * way is begun again at its first step, so each step must bear to be repeated. Two migrates at once are safe. */
#pragma once
#include "common/base/base.h"

enum { MIGRATE_NEWEST = -1 };

/* Goes up, or down, to version target and prints each file on stdout. Returns the exit code; on 1
 * one sentence was printed on stderr, and the steps printed before it hold; 2: there is no such version. */
int migrate(const char *database_url, int target);

/* Prints what migrate would do, and changes nothing. */
int migrate_plan(const char *database_url, int target);
