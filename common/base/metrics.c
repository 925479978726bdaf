#include "common/base/metrics.h"

#include <string.h>

#include <event2/buffer.h>

static const double bucket_bounds[METRIC_BUCKET_COUNT] = METRIC_BUCKETS;
static const char *const kind_names[] = {"counter", "gauge", "gauge", "histogram"};

void metric_observe_us(struct metric_histogram *h, int64_t us)
{
    double seconds = (double)us / 1e6;
    if (us < 0)
        us = 0;
    metric_add(&h->count, 1);
    metric_add(&h->sum_us, (uint64_t)us);
    for (size_t i = 0; i < METRIC_BUCKET_COUNT; i++) {
        if (seconds <= bucket_bounds[i]) {
            metric_add(&h->buckets[i], 1);
            return;
        }
    }
}

static void print_value(struct evbuffer *out, const struct metric_row *row, uint64_t value)
{
    evbuffer_add_printf(out, "ringfleet_%s%s%s%s %llu\n", row->name, *row->labels ? "{" : "", row->labels,
                        *row->labels ? "}" : "", (unsigned long long)value);
}

static void print_histogram(struct evbuffer *out, const struct metric_row *row, const struct metric_histogram *h)
{
    const char *comma = *row->labels ? "," : "";
    uint64_t sum = 0, count = metric_get(&h->count);
    for (size_t i = 0; i < METRIC_BUCKET_COUNT; i++) {
        sum += metric_get(&h->buckets[i]);
        evbuffer_add_printf(out, "ringfleet_%s_bucket{%s%sle=\"%g\"} %llu\n", row->name, row->labels, comma,
                            bucket_bounds[i], (unsigned long long)sum);
    }
    evbuffer_add_printf(out, "ringfleet_%s_bucket{%s%sle=\"+Inf\"} %llu\n", row->name, row->labels, comma,
                        (unsigned long long)count);
    evbuffer_add_printf(out, "ringfleet_%s_sum%s%s%s %.6f\n", row->name, *row->labels ? "{" : "", row->labels,
                        *row->labels ? "}" : "", (double)metric_get(&h->sum_us) / 1e6);
    evbuffer_add_printf(out, "ringfleet_%s_count%s%s%s %llu\n", row->name, *row->labels ? "{" : "", row->labels,
                        *row->labels ? "}" : "", (unsigned long long)count);
}

void metrics_print(struct evbuffer *out, const struct metric_row *rows, size_t count, const void *values)
{
    const char *last = "";
    for (size_t i = 0; i < count; i++) {
        const struct metric_row *row = &rows[i];
        const void *value = (const char *)values + row->offset;
        if (strcmp(last, row->name) != 0)
            evbuffer_add_printf(out, "# HELP ringfleet_%s %s\n# TYPE ringfleet_%s %s\n", row->name, row->help,
                                row->name, kind_names[row->kind]);
        last = row->name;
        if (row->kind == METRIC_HISTOGRAM)
            print_histogram(out, row, value);
        else
            print_value(out, row, metric_get((const metric_value *)value));
    }
}

static const metric_value *value_at(const void *values, size_t offset)
{
    return (const metric_value *)((const char *)values + offset);
}

static uint64_t sum_at(size_t offset, const void *const parts[], int count)
{
    uint64_t sum = 0;
    for (int i = 0; i < count; i++)
        sum += metric_get(value_at(parts[i], offset));
    return sum;
}

static uint64_t least_at(size_t offset, const void *const parts[], int count)
{
    uint64_t least = metric_get(value_at(parts[0], offset));
    for (int i = 1; i < count; i++) {
        uint64_t value = metric_get(value_at(parts[i], offset));
        least = value < least ? value : least;
    }
    return least;
}

void metrics_sum(const struct metric_row *rows, size_t row_count, void *total, const void *const parts[], int count)
{
    for (const struct metric_row *row = rows; row < rows + row_count; row++) {
        /* a histogram is nothing but values, one after the other */
        size_t values = row->kind == METRIC_HISTOGRAM ? sizeof(struct metric_histogram) / sizeof(metric_value) : 1;
        for (size_t i = 0; i < values; i++) {
            size_t at = row->offset + i * sizeof(metric_value);
            uint64_t value = row->kind == METRIC_GAUGE_MIN ? least_at(at, parts, count) : sum_at(at, parts, count);
            metric_set((metric_value *)((char *)total + at), value);
        }
    }
}
