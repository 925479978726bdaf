/* The one database round trip of a call: open_call.sql and load_call_context.sql, pipelined. */
#pragma once
#include "common/base/resolve.h"
#include "warmer/context.h"
#include "warmer/warmer.h"

enum load_outcome {
    LOAD_FOUND,   /* the columns are in the context */
    LOAD_UNKNOWN, /* the database answered: no business has this number */
    LOAD_FAILED,  /* lost, refused, or nonsense; logged */
};

struct load_call {
    const char *call_sid, *from, *to, *direction;
};

typedef void load_fn(enum load_outcome outcome, void *arg);

/* Reads the SQL (RINGFLEET_SQL_DIR) and begins to connect. NULL, with a log line, when the SQL
 * cannot be read or memory is out. */
RF_NODISCARD struct load_pool *load_pool_new(struct warmer *w, struct resolver *resolver);

/* Loads that wait are told LOAD_FAILED before this returns. Accepts NULL. */
void load_pool_free(struct load_pool *pool);

size_t load_pool_connections_up(const struct load_pool *pool);

/* Sends both statements on the least busy connection. fn is called exactly once, never from inside;
 * `into` must live until then. -1, without calling fn: no connection can take it. */
RF_NODISCARD int load_call(struct load_pool *pool, const struct load_call *call, struct context *into, load_fn *fn,
                           void *arg);
