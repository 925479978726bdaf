#include "flusher/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "flusher/dead.h"
#include "flusher/ledger.h"
#include "flusher/selection.h"

enum { PARAMS_MAX = 3 + JOURNAL_FIELDS_MAX };

/* From so many turns on COPY is faster than the statement. */
enum { COPY_MIN_TURNS = 500 };

struct transaction {
    struct apply *apply;
    struct flush_call *calls;
    size_t count;
    struct selection selection;
    int sent[JOURNAL_TYPE_COUNT]; /* types whose statements are in the pipeline */
    size_t sent_count;
    struct pick *left; /* the turns that do not come by COPY, if some do */
    size_t left_count;
    struct dead_list dead;
    struct db_error *error;
};

/* -- parameters ------------------------------------------------------------------------------- */

/* Parameters of apply_<type>.sql (flusher/sql/README.md). Returns their count. */
static int apply_params(struct pgarray params[PARAMS_MAX], int type, const struct pick *picks, size_t count)
{
    int fields = journal_types[type].field_count;
    pgarray_init(&params[0], PGARRAY_TEXT_OID);
    pgarray_init(&params[1], PGARRAY_INT8_OID);
    pgarray_init(&params[2], PGARRAY_INT8_OID);
    for (int f = 0; f < fields; f++)
        pgarray_init(&params[3 + f], PGARRAY_TEXT_OID);
    for (size_t i = 0; i < count; i++) {
        const struct journal_entry *entry = picks[i].entry;
        pgarray_add_text(&params[0], picks[i].call->sid, strlen(picks[i].call->sid));
        pgarray_add_int8(&params[1], journal_entry_seq(entry));
        pgarray_add_int8(&params[2], entry->at_ms);
        for (int f = 0; f < fields; f++)
            pgarray_add_text(&params[3 + f], entry->fields[f].str, entry->fields[f].len);
    }
    return 3 + fields;
}

static const char *apply_name(char out[64], int type)
{
    snprintf(out, 64, "apply_%s", journal_types[type].name);
    return out;
}

static void on_remarks(const PGresult *rows, void *arg)
{
    (void)arg;
    for (int row = 0; row < PQntuples(rows) && PQnfields(rows) >= 2; row++)
        log_warn(PQgetvalue(rows, row, 0), "remark on an entry", log_str("remark", PQgetvalue(rows, row, 1)));
}

/* -- the fast way: everything at once --------------------------------------------------------- */

static bool copy_turns(struct transaction *t)
{
    const size_t *begin = t->selection.begin;
    size_t count = begin[JOURNAL_TURN + 1] - begin[JOURNAL_TURN];
    struct turn_copy *copy = &t->apply->copy;
    if (!t->apply->copy_turns || count < COPY_MIN_TURNS)
        return true;
    t->left = malloc(count * sizeof *t->left);
    if (!t->left)
        return db_out_of_memory(t->error);
    t->apply->_copy_failed = true;
    if (!turn_copy_begin(copy, t->apply->postgres, t->error))
        return false;
    t->left_count = turn_copy_fill(copy, t->selection.picks + begin[JOURNAL_TURN], count, t->left);
    t->apply->_copy_failed = !turn_copy_end(copy, t->error);
    return !t->apply->_copy_failed;
}

/* Puts one type's statement into the pipeline. */
static bool send_type(struct transaction *t, int type)
{
    const size_t *begin = t->selection.begin;
    bool by_copy = type == JOURNAL_TURN && t->left;
    const struct pick *picks = by_copy ? t->left : t->selection.picks + begin[type];
    size_t count = by_copy ? t->left_count : begin[type + 1] - begin[type];
    struct pgarray params[PARAMS_MAX];
    char name[64];
    int param_count;
    bool ok;
    if (count == 0)
        return true;
    param_count = apply_params(params, type, picks, count);
    ok = db_params_ok(params, param_count, t->error) &&
         db_send(t->apply->postgres, apply_name(name, type), params, param_count);
    db_params_release(params, param_count);
    t->sent[t->sent_count++] = type;
    return ok;
}

/* All statements in one round trip, the commit included. */
static bool apply_together(struct transaction *t)
{
    PGconn *pg = t->apply->postgres;
    bool ok = true;
    char name[64];
    if (!copy_turns(t))
        return false;
    db_pipeline_begin(pg);
    for (int type = 0; type < JOURNAL_TYPE_COUNT && ok; type++)
        ok = send_type(t, type);
    ok = ok && note_send(&t->apply->note, pg, &t->selection, t->calls, t->count, t->error) &&
         ledger_send_move(pg, t->calls, t->count, t->error) && db_send_text(pg, "commit");
    if (db_pipeline_end(pg, on_remarks, NULL, t->error))
        return ok || db_out_of_memory(t->error);
    if (t->error->answered < t->sent_count)
        db_error_name(t->error, apply_name(name, t->sent[t->error->answered]));
    return false;
}

/* -- the slow way, when an entry is at fault --------------------------------------------------- */

static bool keep_letter(struct transaction *t, const struct pick *pick)
{
    return dead_add(&t->dead, pick->call->sid, pick->entry, t->error->sqlstate, t->error->message) ||
           db_out_of_memory(t->error);
}

static bool execute_type(PGconn *conn, int type, const struct pick *picks, size_t count, struct db_error *error)
{
    struct pgarray params[PARAMS_MAX];
    char name[64];
    int param_count = apply_params(params, type, picks, count);
    bool ok = db_params_ok(params, param_count, error) &&
              db_execute(conn, apply_name(name, type), params, param_count, on_remarks, NULL, error);
    db_params_release(params, param_count);
    if (!ok)
        db_error_name(error, apply_name(name, type));
    return ok;
}

/* Applies the picks; if they are at fault, each half of them, down to the entries that really are. */
static bool apply_piece(struct transaction *t, int type, const struct pick *picks, size_t count)
{
    PGconn *pg = t->apply->postgres;
    struct db_error ignored;
    if (count == 0)
        return true;
    if (!db_run(pg, "savepoint piece", t->error))
        return false;
    if (execute_type(pg, type, picks, count, t->error))
        return db_run(pg, "release savepoint piece", t->error);
    if (pg_fault_of(t->error->sqlstate) != PG_FAULT_DATA ||
        !db_run(pg, "rollback to savepoint piece; release savepoint piece", &ignored))
        return false;
    if (count == 1)
        return keep_letter(t, picks);
    return apply_piece(t, type, picks, count / 2) && apply_piece(t, type, picks + count / 2, count - count / 2);
}

static bool apply_types(struct transaction *t)
{
    const size_t *begin = t->selection.begin;
    bool ok = true;
    for (int type = 0; type < JOURNAL_TYPE_COUNT && ok; type++)
        ok = apply_piece(t, type, t->selection.picks + begin[type], begin[type + 1] - begin[type]);
    return ok;
}

/* A constraint that waits for the commit may do so, since the row that it asks for may come with a later type. Only if
 * it is broken even then it must not wait: it would blame all entries for one. */
static bool apply_piecewise(struct transaction *t)
{
    PGconn *pg = t->apply->postgres;
    size_t never_tried = t->dead.count;
    bool ok = db_run(pg, "savepoint pieces", t->error) && apply_types(t);
    if (ok && !db_run(pg, "set constraints all immediate", t->error)) {
        ok = pg_fault_of(t->error->sqlstate) == PG_FAULT_DATA &&
             db_run(pg, "rollback to savepoint pieces; set constraints all immediate", t->error);
        t->dead.count = never_tried;
        ok = ok && apply_types(t);
    }
    return ok && note_run(&t->apply->note, pg, &t->selection, &t->dead, t->calls, t->count, t->error) &&
           ledger_move(pg, t->calls, t->count, t->error);
}

/* -- the transaction --------------------------------------------------------------------------- */

static enum apply_result run(struct transaction *t, bool together)
{
    if (!ledger_take(t->apply->postgres, t->apply->impatient, t->calls, t->count, t->error))
        return APPLY_NO_POSTGRES;
    if (!selection_make(&t->selection, t->calls, t->count, &t->dead)) {
        db_out_of_memory(t->error);
        return APPLY_NO_POSTGRES;
    }
    if (!together && !apply_piecewise(t))
        return APPLY_NO_POSTGRES;
    if (!dead_send(&t->dead, t->apply->redis, t->apply->keys))
        return APPLY_NO_REDIS;
    if (together ? !apply_together(t) : !db_run(t->apply->postgres, "commit", t->error))
        return APPLY_NO_POSTGRES;
    return APPLY_COMMITTED;
}

/* The reason may quote what a caller said, so it stands in the dead stream only. */
static void report_dead(const struct dead_letter *letter)
{
    const struct journal_entry *entry = letter->entry;
    char id[STREAM_ID_SIZE];
    log_error(letter->call_sid, "entry refused, kept in the dead stream",
              log_str("stream", journal_stream_names[entry->stream]), log_str("entry", stream_id_format(id, entry->id)),
              log_str("type", entry->type_name.str), log_str("sqlstate", letter->sqlstate));
}

static void count_applied(struct transaction *t)
{
    const struct selection *s = &t->selection;
    for (size_t i = 0; i < s->begin[JOURNAL_TYPE_COUNT]; i++) {
        if (dead_has(&t->dead, s->picks[i].entry))
            continue;
        s->picks[i].call->applied++;
        s->picks[i].call->turns += s->picks[i].entry->type == JOURNAL_TURN;
    }
    t->apply->gaps += s->gaps;
    t->apply->dead += t->dead.count;
    for (size_t i = 0; i < t->dead.count; i++)
        report_dead(&t->dead.letters[i]);
}

/* Turns that the statement takes and COPY did not: the table is not what COPY thinks. */
static void doubt_copy(struct transaction *t, const struct db_error *why)
{
    for (size_t i = 0; i < t->dead.count; i++) {
        if (t->dead.letters[i].entry->type == JOURNAL_TURN)
            return;
    }
    log_warn(NULL, "turns are not written by COPY any more", log_str("sqlstate", why->sqlstate),
             log_str("error", why->message));
    t->apply->copy_turns = false;
}

static void transaction_release(struct transaction *t)
{
    selection_release(&t->selection);
    dead_release(&t->dead);
    free(t->left);
}

/* failed: what the fast way came to, or NULL when this is the fast way. */
static enum apply_result transaction(struct apply *apply, struct flush_call *calls, size_t count,
                                     const struct db_error *failed, struct db_error *error)
{
    struct transaction t = {.apply = apply, .calls = calls, .count = count, .error = error};
    struct db_error ignored;
    enum apply_result result = run(&t, failed == NULL);
    if (result == APPLY_COMMITTED) {
        count_applied(&t);
        if (failed && apply->_copy_failed)
            doubt_copy(&t, failed);
    } else if (!db_run(apply->postgres, "rollback", &ignored)) {
        log_debug(NULL, "no rollback: the connection is gone");
    }
    transaction_release(&t);
    return result;
}

/* Whether it is worth finding out which entry is at fault. COPY may also fail because the table is another than it
 * takes it for, and calls that a breach of the protocol when a number has another size. */
static bool entries_suspected(const struct apply *apply, const char *sqlstate)
{
    enum pg_fault fault = pg_fault_of(sqlstate);
    return fault == PG_FAULT_DATA ||
           (apply->_copy_failed && (fault == PG_FAULT_SCHEMA || strcmp(sqlstate, "08P01") == 0));
}

enum apply_result apply_calls(struct apply *apply, struct flush_call *calls, size_t count, struct db_error *error)
{
    struct db_error first;
    enum apply_result result;
    apply->_copy_failed = false;
    result = transaction(apply, calls, count, NULL, error);
    if (result != APPLY_NO_POSTGRES || !entries_suspected(apply, error->sqlstate))
        return result;
    first = *error;
    return transaction(apply, calls, count, &first, error);
}

void apply_release(struct apply *apply)
{
    turn_copy_release(&apply->copy);
}

bool apply_entry(PGconn *conn, const struct note *note, struct flush_call *call, const struct journal_entry *entry,
                 struct db_error *error)
{
    const struct pick pick = {call, entry};
    return execute_type(conn, entry->type, &pick, 1, error) && note_entry(note, conn, &pick, error);
}
