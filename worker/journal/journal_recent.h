/* A journal's entries that Redis has acknowledged lately: 16 at most, of ten seconds.
 *
 * A primary that dies, or is replaced, may take with it what it acknowledged before its replica had it. So they stay, and
 * are sent again if the Redis that is looked at after a lost connection does not have them. */
#pragma once
#include "worker/journal/journal_spool.h"

/* Takes the entry, which left those that wait; it goes when it is old, or with the journal. */
void journal_recent_keep(struct journal *j, struct journal_entry *e);

/* The last entry that is there is last_seq: those behind it wait again, before all that wait. */
void journal_recent_return(struct journal *j, uint64_t last_seq);

void journal_recent_forget(struct journal *j);
