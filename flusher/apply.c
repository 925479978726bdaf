#include "flusher/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "flusher/dead.h"

enum { APPLY_PARAMS_MAX = 3 + JOURNAL_FIELDS_MAX, LEDGER_PARAMS = 1 + 2 * STREAM_COUNT };

/* An entry that this transaction is to apply. */
struct pick {
    struct flush_call *call;
    const struct journal_entry *entry;
};

/* The picks of one transaction, type by type; within a type by call, writes, events. */
struct selection {
    struct pick *picks;
    size_t begin[JOURNAL_TYPE_COUNT + 1];
};

struct transaction {
    struct apply *apply;
    struct flush_call *calls;
    size_t count;
    struct selection selection;
    struct dead_list dead;
    uint64_t gaps;
    struct db_error *error;
};

static bool out_of_memory(struct transaction *t)
{
    snprintf(t->error->message, sizeof t->error->message, "out of memory");
    t->error->sqlstate[0] = '\0';
    return false;
}

/* -- the ledger ------------------------------------------------------------------------------- */

/* Writes are gapless in lo over all epochs, so lo alone says what is new, also where a worker had to
 * repeat its tail under a new epoch. Events are ordered by the whole id. */
static bool is_above(const struct journal_entry *entry, struct stream_id mark)
{
    return entry->stream == STREAM_WRITES ? entry->id.lo > mark.lo : stream_id_compare(entry->id, mark) > 0;
}

static void set_target(struct flush_call *call)
{
    for (int s = 0; s < STREAM_COUNT; s++) {
        call->target[s] = call->mark[s];
        for (size_t i = 0; i < call->journals[s].count; i++) {
            if (is_above(&call->journals[s].entries[i], call->target[s]))
                call->target[s] = call->journals[s].entries[i].id;
        }
    }
}

static int by_sid(const void *key, const void *call)
{
    return strcmp(key, ((const struct flush_call *)call)->sid);
}

static struct flush_call *call_named(struct transaction *t, const char *sid)
{
    return bsearch(sid, t->calls, t->count, sizeof *t->calls, by_sid);
}

static void on_taken(const PGresult *rows, void *arg)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        struct flush_call *call = call_named(arg, PQgetvalue(rows, row, 0));
        if (call)
            call->is_new = true;
    }
}

static uint64_t number_at(const PGresult *rows, int row, int column)
{
    return strtoull(PQgetvalue(rows, row, column), NULL, 10);
}

static void on_locked(const PGresult *rows, void *arg)
{
    for (int row = 0; row < PQntuples(rows); row++) {
        struct flush_call *call = call_named(arg, PQgetvalue(rows, row, 0));
        for (int s = 0; call && s < STREAM_COUNT; s++)
            call->mark[s] = (struct stream_id){number_at(rows, row, 1 + 2 * s), number_at(rows, row, 2 + 2 * s)};
    }
}

/* call_sid and the targets of all calls (is_new as wanted), as parameters. */
static void ledger_params(struct transaction *t, struct pgarray params[LEDGER_PARAMS], bool old_ones)
{
    pgarray_init(&params[0], PGARRAY_TEXT_OID);
    for (int i = 1; i < LEDGER_PARAMS; i++)
        pgarray_init(&params[i], PGARRAY_INT8_OID);
    for (size_t i = 0; i < t->count; i++) {
        const struct flush_call *call = &t->calls[i];
        if (old_ones && call->is_new)
            continue;
        pgarray_add_text(&params[0], call->sid, strlen(call->sid));
        for (int s = 0; s < STREAM_COUNT; s++) {
            pgarray_add_int8(&params[1 + 2 * s], (int64_t)call->target[s].hi);
            pgarray_add_int8(&params[2 + 2 * s], (int64_t)call->target[s].lo);
        }
    }
}

static bool params_ok(struct pgarray *params, int count)
{
    for (int i = 0; i < count; i++) {
        if (params[i].failed)
            return false;
    }
    return true;
}

static void params_release(struct pgarray *params, int count)
{
    for (int i = 0; i < count; i++)
        pgarray_release(&params[i]);
}

static bool all_new(const struct transaction *t)
{
    for (size_t i = 0; i < t->count; i++) {
        if (!t->calls[i].is_new)
            return false;
    }
    return true;
}

/* Begins the transaction, makes the ledger rows ours and learns where each call stands. */
static bool ledger_take(struct transaction *t)
{
    struct pgarray params[LEDGER_PARAMS];
    PGconn *pg = t->apply->postgres;
    bool ok;
    for (size_t i = 0; i < t->count; i++) {
        t->calls[i].is_new = false;
        memset(t->calls[i].mark, 0, sizeof t->calls[i].mark);
        set_target(&t->calls[i]);
    }
    ledger_params(t, params, false);
    ok = params_ok(params, LEDGER_PARAMS) || out_of_memory(t);
    if (ok) {
        db_pipeline_begin(pg);
        ok = db_send_text(pg, "begin") && db_send(pg, "ledger_take", params, LEDGER_PARAMS);
        ok = db_pipeline_end(pg, on_taken, t, t->error) && ok;
    }
    if (ok && !all_new(t)) {
        params_release(params, LEDGER_PARAMS);
        ledger_params(t, params, true);
        ok = params_ok(params, LEDGER_PARAMS) || out_of_memory(t);
        ok = ok && db_execute(pg, "ledger_lock", params, 1, on_locked, t, t->error);
        for (size_t i = 0; i < t->count; i++)
            set_target(&t->calls[i]);
    }
    params_release(params, LEDGER_PARAMS);
    return ok;
}

/* -- what is to be applied -------------------------------------------------------------------- */

/* seq runs without gaps; where one is missing something was lost before us. What is there is applied. */
static void look_for_gap(struct transaction *t, const struct flush_call *call)
{
    const struct journal *writes = &call->journals[STREAM_WRITES];
    uint64_t expected = call->mark[STREAM_WRITES].lo + 1;
    for (size_t i = 0; i < writes->count; i++) {
        uint64_t seq = writes->entries[i].id.lo;
        if (seq < expected)
            continue;
        if (seq > expected) {
            t->gaps++;
            log_error(call->sid, "the journal lacks entries", log_int("expected", (int64_t)expected),
                      log_int("found", (int64_t)seq));
            return;
        }
        expected++;
    }
}

typedef bool pick_fn(struct transaction *t, struct flush_call *call, const struct journal_entry *entry);

static bool for_each_new_entry(struct transaction *t, pick_fn *fn)
{
    for (size_t c = 0; c < t->count; c++) {
        struct flush_call *call = &t->calls[c];
        for (int s = 0; s < STREAM_COUNT; s++) {
            for (size_t i = 0; i < call->journals[s].count; i++) {
                const struct journal_entry *entry = &call->journals[s].entries[i];
                if (is_above(entry, call->mark[s]) && !fn(t, call, entry))
                    return false;
            }
        }
    }
    return true;
}

static bool count_entry(struct transaction *t, struct flush_call *call, const struct journal_entry *entry)
{
    const char *wrong = journal_entry_wrong(entry);
    if (wrong)
        return dead_add(&t->dead, call->sid, entry, "", wrong);
    t->selection.begin[entry->type + 1]++;
    return true;
}

static bool place_entry(struct transaction *t, struct flush_call *call, const struct journal_entry *entry)
{
    if (!journal_entry_wrong(entry))
        t->selection.picks[t->selection.begin[entry->type]++] = (struct pick){call, entry};
    return true;
}

/* Counting sort: count each type, sum to where each begins, place. */
static bool select_entries(struct transaction *t)
{
    size_t *begin = t->selection.begin;
    for (size_t i = 0; i < t->count; i++)
        look_for_gap(t, &t->calls[i]);
    if (!for_each_new_entry(t, count_entry))
        return out_of_memory(t);
    for (int type = 0; type < JOURNAL_TYPE_COUNT; type++)
        begin[type + 1] += begin[type];
    t->selection.picks = malloc((begin[JOURNAL_TYPE_COUNT] + 1) * sizeof *t->selection.picks);
    if (!t->selection.picks)
        return out_of_memory(t);
    for_each_new_entry(t, place_entry);
    memmove(begin + 1, begin, JOURNAL_TYPE_COUNT * sizeof *begin); /* each has run up to its end */
    begin[0] = 0;
    return true;
}

/* -- applying it ------------------------------------------------------------------------------ */

/* Parameters of apply_<type>.sql (flusher/sql/README.md). Returns their count. */
static int apply_params(struct pgarray params[APPLY_PARAMS_MAX], int type, const struct pick *picks, size_t count)
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

/* Puts one type's statement into the pipeline. */
static bool send_type(struct transaction *t, int type)
{
    const size_t *begin = t->selection.begin;
    struct pgarray params[APPLY_PARAMS_MAX];
    char name[64];
    int count;
    bool ok;
    if (begin[type] == begin[type + 1])
        return true;
    count = apply_params(params, type, t->selection.picks + begin[type], begin[type + 1] - begin[type]);
    ok = params_ok(params, count) || out_of_memory(t);
    ok = ok && db_send(t->apply->postgres, apply_name(name, type), params, count);
    params_release(params, count);
    return ok;
}

/* Everything in one round trip, the commit included. */
static bool apply_together(struct transaction *t)
{
    PGconn *pg = t->apply->postgres;
    struct pgarray params[LEDGER_PARAMS];
    bool ok = true;
    ledger_params(t, params, true);
    db_pipeline_begin(pg);
    for (int type = 0; type < JOURNAL_TYPE_COUNT && ok; type++)
        ok = send_type(t, type);
    ok = ok && (params_ok(params, LEDGER_PARAMS) || out_of_memory(t));
    ok = ok && (all_new(t) || db_send(pg, "ledger_move", params, LEDGER_PARAMS));
    ok = ok && db_send_text(pg, "commit");
    params_release(params, LEDGER_PARAMS);
    return db_pipeline_end(pg, on_remarks, NULL, t->error) && ok;
}

/* Applies the picks; if they are at fault, each half of them, down to the entries that really are. */
static bool apply_piece(struct transaction *t, int type, const struct pick *picks, size_t count)
{
    PGconn *pg = t->apply->postgres;
    struct pgarray params[APPLY_PARAMS_MAX];
    struct db_error ignored;
    char name[64];
    int param_count;
    bool ok;
    if (count == 0)
        return true;
    if (!db_run(pg, "savepoint piece", t->error))
        return false;
    param_count = apply_params(params, type, picks, count);
    ok = params_ok(params, param_count) || out_of_memory(t);
    ok = ok && db_execute(pg, apply_name(name, type), params, param_count, on_remarks, NULL, t->error);
    params_release(params, param_count);
    if (ok)
        return db_run(pg, "release savepoint piece", t->error);
    if (pg_fault_of(t->error->sqlstate) != PG_FAULT_DATA ||
        !db_run(pg, "rollback to savepoint piece; release savepoint piece", &ignored))
        return false;
    if (count == 1)
        return dead_add(&t->dead, picks->call->sid, picks->entry, t->error->sqlstate, t->error->message) ||
               out_of_memory(t);
    return apply_piece(t, type, picks, count / 2) && apply_piece(t, type, picks + count / 2, count - count / 2);
}

/* The slow way, when an entry is at fault. */
static bool apply_piecewise(struct transaction *t)
{
    PGconn *pg = t->apply->postgres;
    const size_t *begin = t->selection.begin;
    struct pgarray params[LEDGER_PARAMS];
    /* A constraint that waits for the commit would blame all entries for one. */
    bool ok = db_run(pg, "set constraints all immediate", t->error);
    for (int type = 0; type < JOURNAL_TYPE_COUNT && ok; type++)
        ok = apply_piece(t, type, t->selection.picks + begin[type], begin[type + 1] - begin[type]);
    ledger_params(t, params, true);
    ok = ok && (params_ok(params, LEDGER_PARAMS) || out_of_memory(t));
    ok = ok && (all_new(t) || db_execute(pg, "ledger_move", params, LEDGER_PARAMS, NULL, NULL, t->error));
    params_release(params, LEDGER_PARAMS);
    return ok;
}

static bool keep_dead(struct transaction *t)
{
    return dead_send(&t->dead, t->apply->redis, t->apply->keys);
}

static enum apply_result run(struct transaction *t, bool together)
{
    if (!ledger_take(t) || !select_entries(t))
        return APPLY_NO_POSTGRES;
    if (!together && !apply_piecewise(t))
        return APPLY_NO_POSTGRES;
    if (!keep_dead(t))
        return APPLY_NO_REDIS;
    if (together ? !apply_together(t) : !db_run(t->apply->postgres, "commit", t->error))
        return APPLY_NO_POSTGRES;
    return APPLY_COMMITTED;
}

/* The reason may quote what a caller said, so it stands in the dead stream only. */
static void report_dead(struct transaction *t, const struct dead_letter *letter)
{
    const struct journal_entry *entry = letter->entry;
    char id[STREAM_ID_SIZE];
    if (*letter->sqlstate) { /* it was among the picks */
        struct flush_call *call = call_named(t, letter->call_sid);
        call->applied--;
        call->turns -= entry->type == JOURNAL_TURN;
    }
    log_error(letter->call_sid, "entry refused, kept in the dead stream",
              log_str("stream", journal_stream_names[entry->stream]), log_str("entry", stream_id_format(id, entry->id)),
              log_str("type", entry->type_name.str), log_str("sqlstate", letter->sqlstate));
}

static void count_applied(struct transaction *t)
{
    const struct selection *s = &t->selection;
    for (size_t i = 0; i < s->begin[JOURNAL_TYPE_COUNT]; i++) {
        s->picks[i].call->applied++;
        s->picks[i].call->turns += s->picks[i].entry->type == JOURNAL_TURN;
    }
    t->apply->gaps += t->gaps;
    t->apply->dead += t->dead.count;
    for (size_t i = 0; i < t->dead.count; i++)
        report_dead(t, &t->dead.letters[i]);
}

static enum apply_result transaction(struct apply *apply, struct flush_call *calls, size_t count, bool together,
                                     struct db_error *error)
{
    struct transaction t = {.apply = apply, .calls = calls, .count = count, .error = error};
    struct db_error ignored;
    enum apply_result result = run(&t, together);
    if (result == APPLY_COMMITTED)
        count_applied(&t);
    else if (!db_run(apply->postgres, "rollback", &ignored))
        log_debug(NULL, "no rollback: the connection is gone");
    free(t.selection.picks);
    dead_release(&t.dead);
    return result;
}

enum apply_result apply_calls(struct apply *apply, struct flush_call *calls, size_t count, struct db_error *error)
{
    enum apply_result result = transaction(apply, calls, count, true, error);
    if (result == APPLY_NO_POSTGRES && pg_fault_of(error->sqlstate) == PG_FAULT_DATA)
        result = transaction(apply, calls, count, false, error);
    return result;
}
