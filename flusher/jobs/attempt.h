/* One attempt at a job, between the loop that took it and the trade that does it. */
#pragma once
#include "common/pg/pipeline.h"
#include "flusher/jobs/job.h"

struct attempt;

/* What the attempts of a process share. */
struct bench {
    struct workshop shop;
    struct pg_pipeline *pg;
    const struct job_statements *statements;
    char owner[300];                /* unlike that of any other process, ever */
    struct attempt *attempts;
    int running[JOB_KIND_COUNT];
    int64_t rests_until_ms[JOB_KIND_COUNT]; /* clock_mono_ms; a strike */
};

extern const struct job_trade *const job_trades[JOB_KIND_COUNT];

/* Takes over a row of job_claim.sql and begins it. false: memory is out; the lease will run out. */
RF_NODISCARD bool attempt_begin(struct bench *bench, enum job_kind kind, const PGresult *rows, int row);

/* What is due of all attempts: leases are renewed, ends that could not be written are written again. */
void attempts_tend(struct bench *bench);

/* Ends what is under way; the rows are given back at once. */
void attempts_give_back(struct bench *bench);

/* Frees all; the rows are left as they are. After the pipeline has been freed. */
void attempts_free(struct bench *bench);
