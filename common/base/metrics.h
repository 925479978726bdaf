/* Metrics from one table per program, in the Prometheus text format.
 *
 *   #define WORKER_METRICS(X) \
 *       X(COUNTER,   calls_started,  "calls_started_total",    "",              "calls claimed") \
 *       X(COUNTER,   ended_hangup,   "calls_ended_total",      "reason=\"hangup\"", "calls ended, by reason") \
 *       X(HISTOGRAM, prompt_upgrade, "prompt_upgrade_seconds", "",              "decision to bytes sent")
 *   struct worker_metrics { WORKER_METRICS(METRIC_MEMBER) };
 *   static const struct metric_row rows[] = { WORKER_METRICS(METRIC_ROW) };
 *
 * (METRIC_ROW needs `#define METRIC_STRUCT struct worker_metrics` beside it.) Rows of one metric with
 * different labels stand next to each other. "ringfleet_" is put before every name.
 *
 * A value has one writing thread; any thread may read (metrics_print). */
#pragma once
#include <stdatomic.h>

#include "common/base/base.h"

/* GAUGE_MIN is a gauge of which the least of several threads' values is the process's ("connected");
 * the others add up. */
enum metric_kind { METRIC_COUNTER, METRIC_GAUGE, METRIC_GAUGE_MIN, METRIC_HISTOGRAM };

typedef _Atomic uint64_t metric_value;

/* Upper bounds in seconds; from half a millisecond (a Redis round trip) to ten seconds. */
#define METRIC_BUCKETS {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}
enum { METRIC_BUCKET_COUNT = 14 };

struct metric_histogram {
    metric_value buckets[METRIC_BUCKET_COUNT]; /* not cumulative; the printer sums */
    metric_value count;
    metric_value sum_us;
};

#define METRIC_CTYPE_COUNTER metric_value
#define METRIC_CTYPE_GAUGE metric_value
#define METRIC_CTYPE_GAUGE_MIN metric_value
#define METRIC_CTYPE_HISTOGRAM struct metric_histogram
#define METRIC_MEMBER(kind, field, name, labels, help) METRIC_CTYPE_##kind field;
#define METRIC_ROW(kind, field, name, labels, help) \
    {METRIC_##kind, offsetof(METRIC_STRUCT, field), name, labels, help},

struct metric_row {
    enum metric_kind kind;
    size_t offset;
    const char *name;
    const char *labels; /* "" or key="value" pairs */
    const char *help;
};

/* One writer, so no read-modify-write instruction is needed: a plain add on every platform. */
static inline void metric_add(metric_value *m, uint64_t n)
{
    atomic_store_explicit(m, atomic_load_explicit(m, memory_order_relaxed) + n, memory_order_relaxed);
}
static inline void metric_set(metric_value *m, uint64_t n)
{
    atomic_store_explicit(m, n, memory_order_relaxed);
}
static inline uint64_t metric_get(const metric_value *m)
{
    return atomic_load_explicit(m, memory_order_relaxed);
}
void metric_observe_us(struct metric_histogram *h, int64_t us);

struct evbuffer;
void metrics_print(struct evbuffer *out, const struct metric_row *rows, size_t count, const void *values);

/* Sets total to what count threads' values (each laid out as total is) come to. At least one. */
void metrics_sum(const struct metric_row *rows, size_t row_count, void *total, const void *const parts[], int count);
