/* A journal's entries on disk (spool/spool.h), where RINGFLEET_SPOOL_DIR is set.
 *
 * An entry that has waited for Redis for a second is copied there, so that it outlives the worker; what is past the bound
 * of what may wait in memory is there only. Once Redis has all that waits in memory the journal rests until the spool has
 * brought back the rest, then it takes its call back (rf_reclaim: those were written at a later epoch) and goes on. What a
 * journal still holds when it is released is left to the spool.
 *
 * An entry keeps the id under which it was first copied: by that Redis knows it again, whoever brings it. */
#pragma once
#include "worker/journal/journal.h"

struct journal_entry {
    struct journal_entry *next;
    uint64_t seq;
    int64_t at_ms;   /* since 1970 */
    int64_t made_ms; /* of Redis' clock, as far as the claim told it */
    int64_t kept_ms; /* of our monotonic clock: when Redis acknowledged it */
    struct stream_id copied; /* the id under which it was first put on disk, for good; 0-0: it never was */
    bool on_disk;            /* as far as is known: a disk may fail */
    enum journal_type type;
    char *values[JOURNAL_FIELDS_MAX]; /* in the same allocation */
};

/* Past the bound of memory: the entry, whose seq is given, goes to disk only; behind those that wait. The entry stays the
 * caller's. false: it cannot be kept. */
bool journal_spool_beyond(struct journal *j, const struct journal_entry *e);

/* Memory is empty and there are entries on disk only: they are to be brought back. */
void journal_spool_bring_back(struct journal *j);

/* Once a second. true: what was on disk only has been brought back, the call is to be taken back. */
bool journal_spool_look(struct journal *j);

/* The journal is released: what is not in Redis is left to the spool. Returns how many entries are not, and are lost. */
int journal_spool_leave(struct journal *j);
