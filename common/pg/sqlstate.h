/* What a Postgres error means for us: whose fault it is decides between retry and dead letter. */
#pragma once
#include <libpq-fe.h>

#include "common/base/base.h"

#define PG_LOCK_NOT_AVAILABLE "55P03" /* lock_timeout */
#define PG_QUERY_CANCELED "57014"     /* statement_timeout */

enum pg_fault {
    PG_FAULT_SERVER, /* connection, shutdown, resources, deadlock, serialization, read-only: retry later */
    PG_FAULT_DATA,   /* the entry's own: bad value, too long for an index, violated constraint; it will fail again */
    PG_FAULT_SCHEMA, /* statement and schema do not fit (missing table, column, right): an operator's */
};

/* sqlstate may be NULL (no result at all: the connection is gone). Classes per the appendix
 * "PostgreSQL Error Codes" of the PostgreSQL manual. */
enum pg_fault pg_fault_of(const char *sqlstate);

/* Of a server's fault: whether it is none of the kinds that pass by themselves (connection, transaction, resources,
 * intervention, system). An internal error that comes again and again is most likely one row's. */
bool pg_fault_is_strange(const char *sqlstate);

/* Of a server's or a schema's fault: whether a part of what was asked may go through by itself, since a row is strange, or
 * locked by somebody, or all of it took too long, or only some rows come to what is missing (in somebody's trigger). Not
 * where the statements must be prepared anew. */
bool pg_fault_may_be_partial(const char *sqlstate);

/* What is to be done where a prepared statement is there already, or is gone: another's session was given to us. "" for
 * other errors. Goes behind the error's text. */
const char *pg_shared_session_advice(const char *sqlstate);

/* An error that libpq made itself, without a SQLSTATE: out of memory, or the connection is lost. An answer may be
 * missing then, a sync too: whatever comes next is not known to belong to what was asked. */
bool pg_answer_lost(const PGresult *result);
