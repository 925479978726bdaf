/* The statements of the jobs, with the overrides of RINGFLEET_SQL_DIR. */
#pragma once
#include "common/pg/pipeline.h"
#include "flusher/config.h"

/* X(id, whose, file without .sql, parameters, result columns...); whose: the kind of job that needs it, so that a
 * schema need not have what no job uses; LOOK is for people's commands. */
#define JOB_STATEMENTS(X)                                                                                        \
    X(CLAIM, ALL, job_claim, 4, "subject", "call_sid", "source", "progress", "attempts", "error", "day", "age_ms") \
    X(RENEW, ALL, job_renew, 5, "ours")                                                                          \
    X(PROGRESS, ALL, job_progress, 5, "ours")                                                                    \
    X(SETTLE, ALL, job_settle, 8, "ours")                                                                        \
    X(FOLLOW, ALL, job_follow, 4, NULL)                                                                          \
    X(RESULT, ALL, job_result, 2, "result")                                                                      \
    X(MEASURE, ALL, job_measure, 0, "waiting", "dead", "delay_s")                                                \
    X(LIST, LOOK, job_list, 2, "kind", "subject", "call_sid", "state", "attempts", "due_ms", "age_ms", "error")   \
    X(RETRY, LOOK, job_retry, 1, "kind", "subject", "call_sid")                                                  \
    X(DISCARD, LOOK, job_discard, 1, "kind", "subject", "call_sid")                                              \
    X(RECORDINGS, RECORDING, call_recordings, 1, "recording_sid", "status", "location")                          \
    X(STORED, RECORDING, recording_stored, 5, NULL)                                                              \
    X(LOST, RECORDING, recording_lost, 3, NULL)                                                                  \
    X(WANTED, TRANSCRIPT, transcript_wanted, 2, "wanted", "language")                                            \
    X(TRANSCRIPT, TRANSCRIPT, transcript_store, 4, NULL)                                                         \
    X(SUMMARY, HOOK, after_call_summary, 2, "ready", "url", "secret", "body")

enum job_statement {
#define X(id, ...) JOB_SQL_##id,
    JOB_STATEMENTS(X)
#undef X
    JOB_SQL_COUNT
};

struct job_statements {
    struct statement texts[JOB_SQL_COUNT];
    struct pg_prepared used[JOB_SQL_COUNT]; /* those that the settings need */
    size_t used_count;
    size_t place[JOB_SQL_COUNT]; /* of each among them */
};

/* false: one sentence in error. Release in both cases. */
RF_NODISCARD bool job_statements_load(struct job_statements *s, const struct flusher_config *config, char *error,
                                      size_t error_size);
void job_statements_release(struct job_statements *s);

/* Which jobs the settings ask for. */
bool jobs_want_recordings(const struct flusher_config *config);
bool jobs_want_transcripts(const struct flusher_config *config);
bool jobs_want_hooks(const struct flusher_config *config);
bool jobs_want_any(const struct flusher_config *config);
