#include "common/base/process.h"

struct process_metrics process_metrics;

#define METRIC_STRUCT struct process_metrics
static const struct metric_row rows[] = {PROCESS_METRICS(METRIC_ROW)};

void process_metrics_print(struct evbuffer *out)
{
    metrics_print(out, rows, ARRAY_LEN(rows), &process_metrics);
}
