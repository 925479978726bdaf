#include "flusher/ledger.h"

#include <stdlib.h>
#include <string.h>

#include "impatient_sql.h"

enum { PARAMS = 1 + 2 * STREAM_COUNT };

/* Writes are gapless in lo over all epochs, so lo alone says what is new, also where a worker had to
 * repeat its tail under a new epoch. Events are ordered by the whole id. */
static bool is_above(const struct journal_entry *entry, struct stream_id mark)
{
    return entry->stream == STREAM_WRITES ? entry->id.lo > mark.lo : stream_id_compare(entry->id, mark) > 0;
}

bool ledger_lacks(const struct flush_call *call, const struct journal_entry *entry)
{
    return is_above(entry, call->mark[entry->stream]);
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

struct taking {
    struct flush_call *calls;
    size_t count;
};

static int by_sid(const void *key, const void *call)
{
    return strcmp(key, ((const struct flush_call *)call)->sid);
}

static struct flush_call *call_named(const struct taking *t, const char *sid)
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

/* call_sid and the targets of all calls (or only of those that were there before), as parameters.
 * Release in both cases. */
static bool fill_params(struct pgarray params[PARAMS], const struct flush_call *calls, size_t count, bool old_ones,
                        struct db_error *error)
{
    pgarray_init(&params[0], PGARRAY_TEXT_OID);
    for (int i = 1; i < PARAMS; i++)
        pgarray_init(&params[i], PGARRAY_INT8_OID);
    for (size_t i = 0; i < count; i++) {
        const struct flush_call *call = &calls[i];
        if (old_ones && call->is_new)
            continue;
        pgarray_add_text(&params[0], call->sid, strlen(call->sid));
        for (int s = 0; s < STREAM_COUNT; s++) {
            pgarray_add_int8(&params[1 + 2 * s], (int64_t)call->target[s].hi);
            pgarray_add_int8(&params[2 + 2 * s], (int64_t)call->target[s].lo);
        }
    }
    return db_params_ok(params, PARAMS, error);
}

static bool all_new(const struct flush_call *calls, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!calls[i].is_new)
            return false;
    }
    return true;
}

static bool take_new(PGconn *conn, bool impatient, struct taking *t, struct db_error *error)
{
    struct pgarray params[PARAMS];
    bool ok = fill_params(params, t->calls, t->count, false, error);
    if (ok) {
        db_pipeline_begin(conn);
        ok = db_send_text(conn, "begin") && (!impatient || db_send_text(conn, impatient_sql[0].text)) &&
             db_send(conn, "ledger_take", params, PARAMS);
        ok = db_pipeline_end(conn, on_taken, t, error) && (ok || db_out_of_memory(error));
    }
    db_params_release(params, PARAMS);
    return ok;
}

static bool lock_old(PGconn *conn, struct taking *t, struct db_error *error)
{
    struct pgarray params[PARAMS];
    bool ok = fill_params(params, t->calls, t->count, true, error);
    ok = ok && db_execute(conn, "ledger_lock", params, 1, on_locked, t, error);
    db_params_release(params, PARAMS);
    for (size_t i = 0; i < t->count; i++)
        set_target(&t->calls[i]);
    return ok;
}

bool ledger_take(PGconn *conn, bool impatient, struct flush_call *calls, size_t count, struct db_error *error)
{
    struct taking t = {calls, count};
    for (size_t i = 0; i < count; i++) {
        calls[i].is_new = false;
        memset(calls[i].mark, 0, sizeof calls[i].mark);
        set_target(&calls[i]);
    }
    return take_new(conn, impatient, &t, error) && (all_new(calls, count) || lock_old(conn, &t, error));
}

bool ledger_send_move(PGconn *conn, const struct flush_call *calls, size_t count, struct db_error *error)
{
    struct pgarray params[PARAMS];
    bool ok = true;
    if (all_new(calls, count))
        return true;
    ok = fill_params(params, calls, count, true, error) && db_send(conn, "ledger_move", params, PARAMS);
    db_params_release(params, PARAMS);
    return ok;
}

bool ledger_move(PGconn *conn, const struct flush_call *calls, size_t count, struct db_error *error)
{
    struct pgarray params[PARAMS];
    bool ok = true;
    if (all_new(calls, count))
        return true;
    ok = fill_params(params, calls, count, true, error) &&
         db_execute(conn, "ledger_move", params, PARAMS, NULL, NULL, error);
    db_params_release(params, PARAMS);
    return ok;
}
