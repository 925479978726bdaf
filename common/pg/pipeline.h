/* One asynchronous Postgres connection in pipeline mode that comes back by itself.
 *
 * Connects without blocking the loop, prepares the given statements, checks what the server says of
 * them (parameters, result columns), and then carries groups of statements: each group is sent at
 * once and answered in one round trip, with a sync after each statement, so that a statement that
 * fails does not take the next one with it. A lost or silent connection calls every waiting
 * callback with NULL, meaning "unknown, it may have happened", and is tried again with back-off and
 * jitter. A statement that must be prepared anew (a migration ran) also ends the connection, and
 * the next one does it. The session's lock_timeout and statement_timeout end a statement before the
 * connection counts as silent; the URL may set others.
 *
 * A single host name in the URL is resolved by the loop's resolver and handed to libpq as hostaddr.
 * A list of hosts ("a,b") is resolved by libpq, which blocks: give addresses there.
 *
 * One thread: the loop's. */
#pragma once
#include <libpq-fe.h>

#include "common/base/base.h"
#include "common/base/resolve.h"
#include "common/pg/prepared.h"

struct event_base;
struct pg_pipeline;

enum {
    PG_GROUP_MAX = 4,    /* statements of one group */
    PG_WAITING_MAX = 192, /* groups waiting for their answer on one connection */
};

struct pg_pipeline_spec {
    struct event_base *base;
    struct resolver *resolver;
    const char *url;                      /* libpq URI or keyword string */
    const char *application_name;         /* for people who look at pg_stat_activity */
    const struct pg_prepared *statements; /* all pointers are borrowed and outlive the connection */
    size_t statement_count;
};

struct pg_query {
    size_t statement;          /* index into spec.statements */
    const char *const *params; /* text; NULL is SQL NULL */
};

/* results[i] is the answer of the group's i-th query: tuples, or an error. It is borrowed for the
 * call. results is NULL when the connection was lost first. The callback may submit again; it must
 * not free the connection. */
typedef void pg_group_fn(PGresult *const *results, void *arg);

/* NULL when out of memory. Connecting begins in the next loop turn. */
RF_NODISCARD struct pg_pipeline *pg_pipeline_new(const struct pg_pipeline_spec *spec);

/* Waiting callbacks are called with NULL before this returns. Accepts NULL. */
void pg_pipeline_free(struct pg_pipeline *p);

bool pg_pipeline_up(const struct pg_pipeline *p);

/* Groups that wait for their answer. */
size_t pg_pipeline_waiting(const struct pg_pipeline *p);

/* Sends a group; fn is called exactly once, never from inside. Returns -1, without calling fn,
 * while the connection is not up or PG_WAITING_MAX groups are waiting. Parameters are copied. */
RF_NODISCARD int pg_pipeline_submit(struct pg_pipeline *p, const struct pg_query *queries, size_t count,
                                    pg_group_fn *fn, void *arg);

struct pg_link {
    struct pg_query query;
    pg_group_fn *fn;
};

/* Sends up to PG_GROUP_MAX queries in one transaction and one packet, each of them a group of its own with the same arg. A
 * query's fn is called as soon as its answer is there, also while later ones work. When one fails, those behind it are not
 * carried out (their result is PGRES_PIPELINE_ABORTED), and what those before it have written is undone. Each fn is called
 * exactly once, in order, never from inside. -1 as above, without calling any. */
RF_NODISCARD int pg_pipeline_submit_chain(struct pg_pipeline *p, const struct pg_link *links, size_t count, void *arg);
