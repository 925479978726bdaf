#include "worker/metrics.h"

#define METRIC_STRUCT struct worker_metrics
static const struct metric_row rows[] = {
#define X(id, name, ...) METRIC_ROW(COUNTER, ended[REASON_##id], "calls_ended_total", "reason=\"" name "\"", "calls ended")
    CALL_REASONS(X)
#undef X
#define X(id, name) \
    METRIC_ROW(COUNTER, carrier_faults[FAULT_##id], "peer_faults_total", "peer=\"carrier\",fault=\"" name "\"", PEER_FAULTS_HELP)
    PEER_FAULTS(X)
#undef X
#define X(id, name) \
    METRIC_ROW(COUNTER, ai_faults[FAULT_##id], "peer_faults_total", "peer=\"ai\",fault=\"" name "\"", PEER_FAULTS_HELP)
    PEER_FAULTS(X)
#undef X
    WORKER_METRICS(METRIC_ROW)};

void worker_metrics_sum(struct worker_metrics *total, const void *const parts[], int count)
{
    metrics_sum(rows, ARRAY_LEN(rows), total, parts, count);
}

void worker_metrics_print(struct evbuffer *out, const struct worker_metrics *total)
{
    metrics_print(out, rows, ARRAY_LEN(rows), total);
}
