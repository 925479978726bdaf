/* A job: something to do once a call is in the database, for as long as this process has it. The row in
 * after_call_job is the truth; it is ours until the lease runs out, and everything that is written to it names our
 * attempt, so whoever has lost it changes nothing.
 *
 * All on the thread of the jobs' loop. */
#pragma once
#include <libpq-fe.h>

#include "flusher/config.h"
#include "flusher/jobs/metrics.h"
#include "flusher/jobs/statements.h"

struct http_client;
struct store;

enum job_kind { JOB_RECORDING, JOB_TRANSCRIPT, JOB_HOOK, JOB_KIND_COUNT };

/* What all jobs use. */
struct workshop {
    const struct flusher_config *config;
    struct http_client *http;
    const struct store *store; /* NULL: recordings stay with the carrier */
    struct jobs_metrics *metrics;
};

struct job {
    const struct workshop *shop;
    const char *subject, *call_sid, *source; /* as in after_call_job; they live as long as the job */
    const char *progress;                    /* JSON, or "" */
    const char *day;                         /* UTC date on which the job was made: 2026-11-26 */
    int64_t age_ms;                          /* when it was taken */
    void *work;                              /* the trade's own */
};

/* How a kind of job is done. */
struct job_trade {
    const char *name; /* kind in after_call_job */
    int most;         /* under way at once in a process */
    /* Begins the work, which ends with one of the calls below. false: memory is out. */
    bool (*begin)(struct job *job);
    /* Cancels what is under way and frees the work. Called once: by the calls below before they return, or when the
     * job is lost to another process. */
    void (*abandon)(struct job *job);
};

extern const struct job_trade recording_trade, transcript_trade, hook_trade;

/* The ends of an attempt. The texts are copied, what is longer than 500 bytes is cut. */
void job_done(struct job *job, const char *result);
/* It failed and is tried again, after at least so many ms; or given up if that was the last attempt. */
void job_again(struct job *job, int64_t at_least_ms, const char *why);
/* It cannot succeed. */
void job_dead(struct job *job, const char *why);
/* Its time has not come; this does not count as an attempt. */
void job_later(struct job *job, int64_t ms, const char *why);
/* Nothing of its kind can succeed until an operator has seen to it: all of them rest a while. Counts for none. */
void job_strike(struct job *job, const char *why);

struct job_query {
    enum job_statement statement;
    const char *params[5];
};

/* Asks the database on the job's behalf, up to PG_GROUP_MAX statements in one round trip, then calls fn with the
 * rows of each. If one fails the attempt ends and fn is not called. One question at a time. */
typedef void job_rows_fn(struct job *job, PGresult *const *rows);
void job_ask(struct job *job, const struct job_query *queries, size_t count, job_rows_fn *fn);

/* Keeps what the attempt has got so far (JSON) for the ones after it. Otherwise like job_ask. */
void job_keep(struct job *job, const char *progress, job_rows_fn *fn);

/* The value of a column in the first row; "" for NULL or no row. */
const char *job_value(const PGresult *rows, const char *column);

/* Whether it says so there, as a boolean or as a text. */
bool job_true(const PGresult *rows, const char *column);
