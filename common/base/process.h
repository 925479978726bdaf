/* What each program counts of itself, whatever it does: one table, shown on every admin port behind the
 * program's own. Any thread counts. */
#pragma once
#include "common/base/metrics.h"

#define PROCESS_METRICS(X) \
    X(COUNTER, log_lines_lost, "log_lines_lost_total", "", "log lines that nobody took: their reader hangs or is gone, or the disk is full") \
    X(COUNTER, texts_mended, "texts_mended_total", "", "texts of others with what is no character in them: it was replaced") \
    X(GAUGE, memory_short, "memory_short", "", "1 while nothing new is taken for want of memory") \
    X(COUNTER, memory_shortages, "memory_shortages_total", "", "times it has come to that")

struct process_metrics {
    PROCESS_METRICS(METRIC_MEMBER)
};
extern struct process_metrics process_metrics;

/* Many write, so it is a read-modify-write instruction: for what is rare. */
static inline void process_count(metric_value *m)
{
    atomic_fetch_add_explicit(m, 1, memory_order_relaxed);
}

struct evbuffer;
void process_metrics_print(struct evbuffer *out);
