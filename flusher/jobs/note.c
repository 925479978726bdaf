#include "flusher/jobs/note.h"

#include <string.h>

#include "flusher/jobs/job.h"
#include "flusher/jobs/source.h"
#include "note_sql.h"

#define NAME "job_note"
enum { KIND, SUBJECT, CALL, SOURCE, PARAMS };
enum { FIELD_SID, FIELD_URL }; /* of a recording, in common/redis/journal.h */

struct note note_wanted(const struct flusher_config *config)
{
    return (struct note){config, jobs_want_recordings(config), jobs_want_hooks(config)};
}

bool note_prepare(const struct note *note, PGconn *conn, const struct flusher_config *config, struct db_error *error)
{
    struct statement statement;
    bool ok;
    if (!note->recordings && !note->hooks)
        return true;
    ok = statements_load(&statement, 1, note_sql, config->sql_dir, error->message, sizeof error->message) == 0 &&
         db_prepare(conn, &statement, 1, error);
    statements_release(&statement, 1);
    return ok;
}

static void add(struct pgarray params[PARAMS], const char *kind, const char *subject, const char *call_sid,
                const char *source)
{
    const char *const values[PARAMS] = {kind, subject, call_sid, source};
    for (int i = 0; i < PARAMS; i++)
        pgarray_add_text(&params[i], values[i], values[i] ? strlen(values[i]) : 0);
}

/* Its id becomes the name of a file; what has no usable one stays with the carrier, and in the journal. */
static void add_recording(const struct note *note, struct pgarray params[PARAMS], const struct pick *pick)
{
    const struct journal_text *sid = &pick->entry->fields[FIELD_SID], *url = &pick->entry->fields[FIELD_URL];
    if (sid->str && call_sid_valid(sid->str) && *sid->str != '.' && url->str && *url->str &&
        !source_stays(note->config, url->str))
        add(params, recording_trade.name, sid->str, pick->call->sid, url->str);
}

static void begin(struct pgarray params[PARAMS])
{
    for (int i = 0; i < PARAMS; i++)
        pgarray_init(&params[i], PGARRAY_TEXT_OID);
}

/* refused: NULL if nothing was. */
static void fill(const struct note *note, struct pgarray params[PARAMS], const struct selection *selection,
                 const struct dead_list *refused, const struct flush_call *calls, size_t count)
{
    const size_t *bounds = selection->begin;
    begin(params);
    for (size_t i = bounds[JOURNAL_RECORDING]; note->recordings && i < bounds[JOURNAL_RECORDING + 1]; i++) {
        if (!refused || !dead_has(refused, selection->picks[i].entry))
            add_recording(note, params, &selection->picks[i]);
    }
    for (size_t i = 0; note->hooks && i < count; i++) {
        if (calls[i].is_new)
            add(params, hook_trade.name, calls[i].sid, calls[i].sid, NULL);
    }
}

static bool run(PGconn *conn, struct pgarray params[PARAMS], struct db_error *error)
{
    bool ok = db_params_ok(params, PARAMS, error) && db_execute(conn, NAME, params, PARAMS, NULL, NULL, error);
    db_params_release(params, PARAMS);
    return ok;
}

bool note_send(const struct note *note, PGconn *conn, const struct selection *selection, const struct flush_call *calls,
               size_t count, struct db_error *error)
{
    struct pgarray params[PARAMS];
    bool ok = true;
    if (!note->recordings && !note->hooks)
        return true;
    fill(note, params, selection, NULL, calls, count);
    ok = db_params_ok(params, PARAMS, error) && db_send(conn, NAME, params, PARAMS);
    db_params_release(params, PARAMS);
    return ok;
}

bool note_run(const struct note *note, PGconn *conn, const struct selection *selection, const struct dead_list *refused,
              const struct flush_call *calls, size_t count, struct db_error *error)
{
    struct pgarray params[PARAMS];
    if (!note->recordings && !note->hooks)
        return true;
    fill(note, params, selection, refused, calls, count);
    return run(conn, params, error);
}

bool note_entry(const struct note *note, PGconn *conn, const struct pick *pick, struct db_error *error)
{
    struct pgarray params[PARAMS];
    if (!note->recordings || pick->entry->type != JOURNAL_RECORDING)
        return true;
    begin(params);
    add_recording(note, params, pick);
    return run(conn, params, error);
}
