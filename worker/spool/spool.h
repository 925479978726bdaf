/* What Redis cannot take, on disk: one file a call, written, and brought back (return.h), by one thread, so that no loop
 * ever waits for a disk.
 *
 * A loop hands records over and goes on; the hand-over is bounded in bytes, and so is what is on disk. What the thread
 * has taken outlives the process, and, once it is synced (after each batch), the machine. Files whose worker is gone,
 * on this volume, are looked for every few seconds and brought back too.
 *
 * The functions are for any thread; a file is used by one at a time. */
#pragma once
#include "common/redis/keys.h"
#include "common/redis/url.h"
#include "worker/metrics.h"
#include "worker/spool/record.h"

struct spool;
struct spool_file;

struct spool_spec {
    const char *dir;
    uint64_t max_bytes; /* of this process's files */
    const struct redis_url *url;
    const struct key_space *keys;
    const char *worker; /* its id, for people */
};

/* spec is copied, what it points to borrowed. A directory that cannot be used (yet) is logged, and tried again whenever it
 * is needed. NULL: out of memory or threads. */
RF_NODISCARD struct spool *spool_new(const struct spool_spec *spec);

/* What was handed over is written, and what can be brought back at once is. The loops must be gone. Accepts NULL. */
void spool_free(struct spool *spool);

/* Sets the spool's rows. */
void spool_show(const struct spool *spool, struct worker_metrics *out);

/* A call's file: nothing is on disk until something is put into it. NULL: out of memory. */
RF_NODISCARD struct spool_file *spool_file_new(struct spool *spool, const char *call_sid, const char *stream_sid);

/* Hands a record over; copies. false: a bound is reached, or memory is out; counted. */
RF_NODISCARD bool spool_put(struct spool_file *file, const struct spool_record *record);

/* false: the disk has failed a moment ago. Who can wait puts nothing now. */
bool spool_usable(const struct spool *spool);

/* true, once: the disk did not take a record of this file, nor what was put since. The caller may put all of it again. */
bool spool_hurt(struct spool_file *file);

/* What was put is to be brought back while the call goes on. Nothing is put until spool_returned has said true, once: then
 * nothing is in the file. */
void spool_return_soon(struct spool_file *file);
bool spool_returned(struct spool_file *file);

/* The caller is done with the file: what is in it is in Redis; or it is to be brought back. It is the spool's then. */
void spool_forget(struct spool_file *file);
void spool_leave(struct spool_file *file);
