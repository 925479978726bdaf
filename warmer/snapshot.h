/* The last good snapshot of a business in Redis, for calls while the database is away:
 *   rf:number:<number>   string: the business' id
 *   rf:business:<id>     hash: the fields that are the business' own (context.h), and kept_ms
 * Both live a week after the last good load. */
#pragma once
#include "warmer/context.h"
#include "warmer/warmer.h"

/* Writes the snapshot after a good load, for a number at most once in SNAPSHOT_EVERY_MS. Nobody waits for
 * it; what fails is counted. */
enum { SNAPSHOT_EVERY_MS = 10000 };
void snapshot_keep(struct warmer *w, const char *number, const struct context *loaded);

/* Fields were added to `into`, or nothing was found. */
typedef void snapshot_fn(bool found, void *arg);

/* Two questions to Redis. fn is called exactly once, never from inside; `into` must live until then. -1,
 * without calling fn: Redis cannot be asked. */
RF_NODISCARD int snapshot_seek(struct warmer *w, const char *number, struct context *into, snapshot_fn *fn, void *arg);
/* The same where the business is known: one question. */
RF_NODISCARD int snapshot_seek_business(struct warmer *w, const char *id, struct context *into, snapshot_fn *fn, void *arg);
