#include "worker/journal/journal_spool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "worker/spool/spool.h"

enum { COPY_AFTER_MS = 1000 };

static void add(struct spool_record *record, const char *text)
{
    record->texts[record->count++] = (struct spool_text){text, strlen(text)};
}

static void add_field(struct spool_record *record, const char *name, const char *value)
{
    add(record, name);
    add(record, value);
}

static bool have_file(struct journal *j)
{
    if (!j->spool.file && j->w->spool)
        j->spool.file = spool_file_new(j->w->spool, j->call_sid, j->stream_sid);
    return j->spool.file != NULL;
}

static bool put_entry(struct journal *j, const struct journal_entry *e, struct stream_id first)
{
    const struct journal_type_row *row = &journal_types[e->type];
    char id[STREAM_ID_SIZE], made[24], at[24];
    struct spool_record record = {.kind = SPOOL_ENTRY};
    snprintf(made, sizeof made, "%" PRId64, e->made_ms);
    snprintf(at, sizeof at, "%" PRId64, e->at_ms);
    add(&record, stream_id_format(id, first));
    add(&record, made);
    add_field(&record, "type", row->name);
    add_field(&record, "by", "worker");
    add_field(&record, "at", at);
    for (int i = 0; i < row->field_count; i++)
        add_field(&record, row->fields[i], e->values[i]);
    return have_file(j) && spool_put(j->spool.file, &record);
}

/* Copies what was made until then and is not on disk yet, in order: all of it again if the disk has failed in between,
 * where what it has already is known by its id, which stays the first one. false: not all of it. */
static bool copy_until(struct journal *j, int64_t made_ms)
{
    if (j->spool.file && spool_hurt(j->spool.file)) {
        for (struct journal_entry *e = j->head; e; e = e->next)
            e->on_disk = false;
    }
    for (struct journal_entry *e = j->head; e && e->made_ms <= made_ms; e = e->next) {
        struct stream_id first = e->copied.hi > 0 ? e->copied : (struct stream_id){j->epoch, e->seq};
        if (e->on_disk)
            continue;
        if (!put_entry(j, e, first))
            return false;
        e->copied = first;
        e->on_disk = true;
    }
    return true;
}

static bool put_end(struct journal *j)
{
    char id[STREAM_ID_SIZE];
    struct spool_record record = {.kind = j->end.only_media ? SPOOL_LEFT : SPOOL_END};
    if (record.kind == SPOOL_END) {
        add(&record, stream_id_format(id, (struct stream_id){j->epoch, j->seq + 1}));
        add(&record, j->end.reason);
        add(&record, j->end.verdict);
        add(&record, j->end.metrics ? j->end.metrics : "{}");
    }
    return have_file(j) && spool_put(j->spool.file, &record);
}

bool journal_spool_beyond(struct journal *j, const struct journal_entry *e)
{
    return j->w->spool && spool_usable(j->w->spool) && copy_until(j, INT64_MAX) &&
           put_entry(j, e, (struct stream_id){j->epoch, e->seq});
}

void journal_spool_bring_back(struct journal *j)
{
    j->spool.resting = true;
    spool_return_soon(j->spool.file);
}

/* Of those in memory, whether one may be in the file: also where the disk has failed since. */
static bool is_copied(const struct journal *j)
{
    for (const struct journal_entry *e = j->head; e; e = e->next) {
        if (e->copied.hi > 0)
            return true;
    }
    return false;
}

bool journal_spool_look(struct journal *j)
{
    if (!j->w->spool || j->ended)
        return false;
    if (j->spool.resting)
        return spool_returned(j->spool.file);
    if (j->head && spool_usable(j->w->spool))
        copy_until(j, clock_mono_ms() + j->clock_skew_ms - COPY_AFTER_MS);
    if (j->spool.file && j->spool.beyond == 0 && !is_copied(j)) {
        spool_forget(j->spool.file);
        j->spool.file = NULL;
    }
    return false;
}

/* Of those in memory, how many nobody will bring. */
static int uncopied(const struct journal *j)
{
    int count = 0;
    for (const struct journal_entry *e = j->head; e; e = e->next)
        count += !e->on_disk;
    return count;
}

int journal_spool_leave(struct journal *j)
{
    bool ends = j->end.wanted && !j->ended && !j->fenced;
    bool whole = !j->head && j->spool.beyond == 0 && !ends;
    if (!whole && j->w->spool) {
        copy_until(j, INT64_MAX);
        if (ends && !put_end(j))
            log_error(j->call_sid, "the end of a call could not be spooled; the reaper will end it");
    }
    if (j->spool.file && whole)
        spool_forget(j->spool.file);
    else if (j->spool.file)
        spool_leave(j->spool.file);
    j->spool.file = NULL;
    return uncopied(j);
}
