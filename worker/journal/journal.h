/* The worker's end of a call's journal (the stream `writes`).
 *
 * Entries get the id <epoch>-<seq>, seq without gaps over the whole call. One entry of a call is
 * under way at a time, so no hole can arise below one that was accepted; the others wait here,
 * bounded, also while Redis is away. After a lost connection the last id is read before anything
 * is sent again. Redis refuses an id that is not above the last: then another worker has the call
 * and this journal is fenced, for good; or nobody has, because this worker was cut off for so long
 * that the call was ended for it. Then it takes the call back (rf_reclaim) and goes on.
 *
 * What was acknowledged lately stays here, for a primary that dies may take it with it (journal_recent.h).
 *
 * What Redis does not take for long, or at all, goes to disk where that is configured (journal_spool.h). */
#pragma once
#include <event2/event_struct.h>

#include "common/redis/journal.h"
#include "worker/ticket.h"

enum {
    JOURNAL_WAITING_MAX = 256,  /* entries of one call that may wait for Redis */
    JOURNAL_RETRY_MS = 250,     /* after a refusal that may pass (memory full, loading) */
};

/* KEPT: what somebody waits for (journal_await) is in Redis. */
enum journal_outcome { JOURNAL_ENDED, JOURNAL_FENCED, JOURNAL_KEPT };

struct journal_entry;
struct json_t;
struct spool_file;

struct journal {
    struct worker *w;
    const char *call_sid, *stream_sid; /* the call's */
    uint64_t epoch;
    uint64_t seq; /* last one given out */
    int64_t clock_skew_ms; /* the claim's; set it behind journal_init */
    struct journal_entry *head, *tail;
    int waiting;
    struct journal_entry *recent, *recent_tail; /* acknowledged lately */
    int recent_count;
    uint64_t given, kept; /* entries accepted, and of these those that are in Redis; not seq, which others raise too */
    uint64_t awaited;     /* whoever waits wants so many kept; 0: nobody waits */
    bool unsure;    /* the connection was lost: look what is there before anything is sent */
    bool displaced; /* somebody raised the epoch: ask for the call back */
    bool fenced;
    bool ended;
    struct ticket *ticket; /* what is under way */
    struct ticket *lease;  /* its renewal, beside the journal proper */
    struct event retry;
    struct {
        struct spool_file *file; /* NULL: nothing of this journal is on disk */
        int beyond;              /* entries on disk only, behind those that wait here */
        bool resting;            /* those are being brought back; what waits here comes after */
    } spool;
    struct {
        bool wanted;
        bool only_media; /* another worker will go on: the call is not ended */
        const char *reason; /* borrowed */
        char verdict[48], *metrics;
    } end;
    void (*on_outcome)(void *arg, enum journal_outcome outcome);
    void *arg;
};

/* The texts are borrowed. */
void journal_init(struct journal *j, struct worker *w, const char *call_sid, const char *stream_sid, uint64_t epoch,
                  uint64_t seq, void (*on_outcome)(void *arg, enum journal_outcome outcome), void *arg);

/* Appends an entry with the fields of its type, in the order of journal.h (common/redis). Copies.
 * Past the bound (and the spool's), or when fenced, the entry is refused (false), counted and logged. */
bool journal_append(struct journal *j, enum journal_type type, const char *const values[]);

/* The outcome KEPT tells, from the loop, when all that was accepted so far is in Redis. */
void journal_await(struct journal *j);

/* Whether the first entries, so many, are in Redis. */
bool journal_has_kept(const struct journal *j, uint64_t entries);

/* Appends a fact of the call (callsession_update). Takes the reference; NULL (out of memory) is refused and logged. */
bool journal_fact(struct journal *j, struct json_t *object);

/* After everything that waits: ends the call (rf_end). on_outcome tells when it is done. reason is
 * borrowed. */
void journal_end(struct journal *j, const char *reason, const char *verdict, const char *metrics);

/* After everything that waits: on_outcome tells that the journal is complete. The call stays live, for
 * another worker to claim. */
void journal_leave(struct journal *j);

/* The call goes on here: its lease runs from now. Notices if the call was ended for a dead worker. */
void journal_renew(struct journal *j);

/* Redis is reachable (again): looks what is there, and goes on with what waits. */
void journal_kick(struct journal *j);

/* Once a second: what has waited for long goes to disk. */
void journal_look(struct journal *j);

/* What still waits is left to the spool, or forgotten if there is none; an answer that is under way is ignored. */
void journal_release(struct journal *j);
