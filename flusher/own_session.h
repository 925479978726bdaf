/* Whether a connection has a session of Postgres for itself. Behind a pooler in transaction mode it has not: what is set or
 * locked for a session stays with whoever comes next. */
#pragma once
#include "flusher/database.h"

/* Sees whether a second connection to url gets conn's session while conn is idle. true: it does not, or nobody can tell.
 * Blocking: a few round trips; two seconds more where the second one is kept waiting. */
bool own_session(PGconn *conn, const char *url);
