/* Metrics of the jobs after a call; written by their thread. */
#pragma once
#include "common/base/metrics.h"

#define JOBS_METRICS(X)                                                                                          \
    X(COUNTER, done_recording, "jobs_done_total", "kind=\"recording\"", "jobs after calls that are done, by kind") \
    X(COUNTER, done_transcript, "jobs_done_total", "kind=\"transcript\"", "jobs after calls that are done, by kind") \
    X(COUNTER, done_hook, "jobs_done_total", "kind=\"hook\"", "jobs after calls that are done, by kind")           \
    X(COUNTER, failed_recording, "job_failures_total", "kind=\"recording\"", "attempts at jobs that failed, by kind") \
    X(COUNTER, failed_transcript, "job_failures_total", "kind=\"transcript\"", "attempts at jobs that failed, by kind") \
    X(COUNTER, failed_hook, "job_failures_total", "kind=\"hook\"", "attempts at jobs that failed, by kind")        \
    X(COUNTER, lost, "jobs_lost_total", "", "jobs that another process took over while this one was at them")     \
    X(COUNTER, bytes, "recording_bytes_total", "", "bytes of recordings fetched from the carrier")               \
    X(COUNTER, resumed, "recording_resumes_total", "", "downloads that went on where they had been cut")          \
    X(COUNTER, partials_removed, "recording_partials_removed_total", "",                                         \
      "unfinished recordings that were removed for their age or for want of room")                              \
    X(GAUGE, partial_bytes, "recording_partial_bytes", "", "bytes of unfinished recordings on the disk")         \
    X(COUNTER, pieces, "transcription_requests_total", "", "pieces of recordings that were sent to be written down") \
    X(GAUGE, running, "jobs_running", "", "jobs under way")                                                      \
    X(GAUGE, waiting, "jobs_waiting", "", "jobs that are not settled, in the whole fleet")                       \
    X(GAUGE, dead, "jobs_dead", "", "jobs that were given up and not looked after yet, in the whole fleet")      \
    X(GAUGE, delay_seconds, "jobs_delay_seconds", "", "how long the oldest job has been due: the alarm")         \
    X(GAUGE, resting, "jobs_resting", "", "kinds of jobs that rest because an operator must see to something")   \
    X(GAUGE, postgres_up, "jobs_postgres_up", "", "1 while the jobs' connection to Postgres is up")

struct jobs_metrics {
    JOBS_METRICS(METRIC_MEMBER)
};
