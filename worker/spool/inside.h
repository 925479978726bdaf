/* What the parts of the spool share: spool.c hands over, writer.c and homeward.c are its thread. */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/log.h"
#include "worker/spool/return.h"
#include "worker/spool/spool.h"
#include "worker/spool/store.h"

/* RETURNED: the loop is to see that. LEFT: it is the spool's. */
enum file_state { FILE_OPEN, FILE_RETURNING, FILE_RETURNED, FILE_LEFT };

struct spool_file {
    struct spool *spool;
    char call_sid[CALL_SID_SIZE];
    uint8_t *owner; /* its first record; NULL: adopted */
    size_t owner_size;
    _Atomic int state;
    unsigned turn;         /* the loop's: raised when it puts again what was not taken */
    _Atomic unsigned hurt; /* a record of that turn was not taken, so none behind it is, lest their order change */
    /* the thread's */
    int fd; /* -1: nothing is on disk */
    int64_t len;
    bool adopted, touched;
    struct spool_file *next_wanted, *next_touched;
    char path[SPOOL_PATH_SIZE];
};

enum job_kind { JOB_PUT, JOB_RETURN, JOB_FORGET, JOB_LEAVE };

struct job {
    struct job *next;
    enum job_kind kind;
    struct spool_file *file;
    unsigned turn;
    size_t size;
    uint8_t bytes[];
};

/* Counted by several threads. */
#define SPOOL_COUNTS(X) X(written) X(full) X(failed) X(returned) X(refused) X(buried) X(damaged)

struct spool {
    struct spool_spec spec;
    struct spool_return *back;
    pthread_t thread;
    bool running;
    pthread_mutex_t lock; /* of what follows, up to the empty line; held for a few instructions */
    pthread_cond_t work;
    struct job *head, *tail;
    size_t queued;
    bool stopping;

    _Atomic uint64_t bytes, files;
    _Atomic int64_t broken_until_ms;
#define X(name) _Atomic uint64_t name;
    SPOOL_COUNTS(X)
#undef X
    /* the thread's */
    struct spool_file *wanted, **wanted_end; /* to be brought back, in turn */
    struct spool_file *touched;              /* to be synced */
    int adopted, strangers, strangers_told;
    int64_t adopt_ms, again_ms; /* when to look for files again; and to bring one back, after one that could not be */
    uint64_t full_told;
    struct log_limit disk_limit, redis_limit, spooled_limit;
};

static inline void spool_count(_Atomic uint64_t *value, uint64_t n)
{
    atomic_fetch_add_explicit(value, n, memory_order_relaxed);
}

static inline void spool_uncount(_Atomic uint64_t *value, uint64_t n)
{
    atomic_fetch_sub_explicit(value, n, memory_order_relaxed);
}

/* Nothing is on disk yet. NULL: out of memory. */
RF_NODISCARD struct spool_file *spool_file_blank(struct spool *s);
void spool_file_free(struct spool_file *file);

/* ---- writer.c ---- */

void spool_obey(struct spool *s, const struct job *job);
void spool_sync(struct spool *s);

/* errno says how. */
void spool_disk_failed(struct spool *s, const char *what);

/* What is on disk of it is dealt with; aside: it stays there, for people. */
void spool_drop(struct spool *s, struct spool_file *file, bool aside);

/* ---- homeward.c ---- */

void spool_want(struct spool *s, struct spool_file *file);
void spool_unwant(struct spool *s, struct spool_file *file);

bool spool_return_due_now(const struct spool *s);

/* One file that is wanted. false: it is too early. */
bool spool_return_next(struct spool *s);

/* Now and then: files whose worker is gone. */
void spool_look_for_orphans(struct spool *s);
