/* What a program wants of a statement, held against what the server says of it. */
#pragma once
#include <libpq-fe.h>

#include "common/base/base.h"
#include "common/pg/statements.h"

struct pg_prepared {
    const struct statement *statement;
    int params;                 /* exactly */
    const char *const *columns; /* these must be in its result (more may), ended by NULL */
};

/* Says in why that the server does not take the statement, by its answer. */
void prepared_refused(const struct pg_prepared *want, const PGresult *answer, char *why, size_t size);

/* description is the answer to Describe. Every result column must be named like a field, letters,
 * digits and '_', and no name may come twice. false: one sentence in why. */
RF_NODISCARD bool prepared_fits(const struct pg_prepared *want, const PGresult *description, char *why, size_t size);

/* Whether the connection's role may run a statement that is prepared: planned, not run. Rights inside functions, and of
 * sequences, show only when it is run. false: one sentence in why. */
RF_NODISCARD bool prepared_permitted(PGconn *conn, const struct statement *statement, int params, char *why, size_t size);
