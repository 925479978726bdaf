/* Turns as rows of COPY conversation_turn, in the binary format (the manual's page of COPY): the way in for
 * large batches, where it is faster than any statement. It does what apply_turn.sql does, for the
 * calls it is sure of; the others are left to that statement. The server takes rows while further ones are made. */
#pragma once
#include "flusher/database.h"
#include "flusher/selection.h"

/* Zero it. The memory is kept from one batch to the next. */
struct turn_copy {
    char *bytes; /* not sent yet */
    size_t len, _cap;
    bool failed; /* out of memory, or the connection is lost */
    PGconn *_conn;
};

void turn_copy_release(struct turn_copy *copy);

/* Inside a transaction. Up to the end nothing else may be asked of the connection. */
RF_NODISCARD bool turn_copy_begin(struct turn_copy *copy, PGconn *conn, struct db_error *error);

/* Takes the turns of the calls that have none in Postgres yet and whose values are all written as the worker
 * writes them. The picks of the others are put into left, in their order. Returns how many those are. */
size_t turn_copy_fill(struct turn_copy *copy, const struct pick *picks, size_t count, struct pick *left);

RF_NODISCARD bool turn_copy_end(struct turn_copy *copy, struct db_error *error);
