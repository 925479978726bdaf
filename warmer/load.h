/* The one database round trip of a call: load_call_context.sql, load_booked_times.sql and open_call.sql, pipelined. */
#pragma once
#include "common/base/resolve.h"
#include "common/pg/prepared.h"
#include "warmer/context.h"
#include "warmer/warmer.h"

enum load_outcome {
    LOAD_FACTS,   /* the load's columns are in the context; the booked times, or a stranger's lead, will follow */
    LOAD_FOUND,   /* all columns are; or booked_slots_missing, if the booked times could not be had (logged) */
    LOAD_UNKNOWN, /* the database answered: no business has this number */
    LOAD_FAILED,  /* lost, refused, or nonsense; logged */
};

struct load_call {
    const char *call_sid, *from, *to, *direction;
    bool open;  /* records the call, too */
    bool early; /* wants to be told LOAD_FACTS */
};

/* opened: the call's row is in the database, or on its way there; should it still fail, the call's journal
 * gets it (unrecorded.h). false: the caller must see to that. */
typedef void load_fn(enum load_outcome outcome, bool opened, void *arg);

enum { OPEN_CALL, LOAD_CALL_CONTEXT, LOAD_BOOKED_TIMES, LOAD_STATEMENT_COUNT };

/* The statements, and what is wanted of them. */
struct load_statements {
    struct statement statements[LOAD_STATEMENT_COUNT];
    struct pg_prepared prepared[LOAD_STATEMENT_COUNT]; /* points to the former: not to be moved */
    size_t used; /* the first so many: all, or all but LOAD_BOOKED_TIMES */
};

/* false, with a log line: they cannot be read. Release in both cases. */
RF_NODISCARD bool load_statements_read(struct load_statements *statements, const char *sql_dir);
void load_statements_release(struct load_statements *statements);

/* Reads the SQL (RINGFLEET_SQL_DIR) and begins to connect. NULL, with a log line, when the SQL
 * cannot be read or memory is out. */
RF_NODISCARD struct load_pool *load_pool_new(struct warmer *w, struct resolver *resolver);

/* Loads that wait are told LOAD_FAILED before this returns. Accepts NULL. */
void load_pool_free(struct load_pool *pool);

size_t load_pool_connections_up(const struct load_pool *pool);

/* Sends the statements (without call->open no OPEN_CALL) on the least busy connection. fn is called exactly once, never
 * from inside, when the load and the booked times are answered; if there is no lead_id then, once the call is opened too.
 * For whom it is early, fn is called for LOAD_FACTS before, as soon as the load is answered, if more is to come. `into`
 * must live until the last one. -1, without calling fn: no connection can take it. */
RF_NODISCARD int load_call(struct load_pool *pool, const struct load_call *call, struct context *into, load_fn *fn,
                           void *arg);
