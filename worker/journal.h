/* The worker's end of a call's journal (the stream `writes`).
 *
 * Entries get the id <epoch>-<seq>, seq without gaps over the whole call. One entry of a call is
 * under way at a time, so no hole can arise below one that was accepted; the others wait here,
 * bounded, also while Redis is away. After a lost connection the last id is read before anything
 * is sent again. Redis refuses an id that is not above the last: then another worker has the call
 * and this journal is fenced, for good. */
#pragma once
#include <event2/event_struct.h>

#include "common/redis/journal.h"
#include "worker/ticket.h"

enum {
    JOURNAL_WAITING_MAX = 256,  /* entries of one call that may wait for Redis */
    JOURNAL_RETRY_MS = 250,     /* after a refusal that may pass (memory full, loading) */
};

enum journal_outcome { JOURNAL_ENDED, JOURNAL_FENCED };

struct journal_entry;

struct journal {
    struct worker *w;
    const char *call_sid; /* the call's */
    uint64_t epoch;
    uint64_t seq; /* last one given out */
    struct journal_entry *head, *tail;
    int waiting;
    bool unsure; /* the connection was lost with an entry under way */
    bool fenced;
    bool ended;
    struct ticket *ticket; /* what is under way */
    struct event retry;
    struct {
        bool wanted;
        char reason[32], verdict[48], metrics[512];
    } end;
    void (*on_outcome)(void *arg, enum journal_outcome outcome);
    void *arg;
};

void journal_init(struct journal *j, struct worker *w, const char *call_sid, uint64_t epoch, uint64_t seq,
                  void (*on_outcome)(void *arg, enum journal_outcome outcome), void *arg);

/* Appends an entry with the fields of its type, in the order of journal.h (common/redis). Copies.
 * Past the bound, or when fenced, the entry is refused, counted and logged. */
void journal_append(struct journal *j, enum journal_type type, const char *const values[]);

/* After everything that waits: ends the call (rf_end). on_outcome tells when it is done. */
void journal_end(struct journal *j, const char *reason, const char *verdict, const char *metrics);

/* Redis is reachable (again): goes on with what waits. */
void journal_kick(struct journal *j);

/* Forgets what still waits; an answer that is under way is ignored. */
void journal_release(struct journal *j);
