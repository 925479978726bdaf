#include "common/base/metrics.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "tests/unit/unit.h"

#define TEST_METRICS(X)                                                                   \
    X(COUNTER, started, "calls_started_total", "", "calls claimed")                       \
    X(COUNTER, ended_hangup, "calls_ended_total", "reason=\"hangup\"", "calls ended")     \
    X(COUNTER, ended_lost, "calls_ended_total", "reason=\"lost\",by=\"reap\"", "calls ended") \
    X(GAUGE, active, "calls_active", "", "calls right now")                               \
    X(GAUGE_MIN, up, "connected", "", "1 while all are")                                  \
    X(HISTOGRAM, load, "load_seconds", "", "context load")                                \
    X(HISTOGRAM, ai_open, "open_seconds", "leg=\"ai\"", "socket open")                    \
    X(HISTOGRAM, media_open, "open_seconds", "leg=\"media\"", "socket open")

struct test_metrics {
    TEST_METRICS(METRIC_MEMBER)
};
#define METRIC_STRUCT struct test_metrics
static const struct metric_row rows[] = {TEST_METRICS(METRIC_ROW)};

static struct test_metrics metrics;

/* The exposition as text; the caller frees it. */
static char *print(void)
{
    struct evbuffer *out = evbuffer_new();
    char *text;
    assert_non_null(out);
    metrics_print(out, rows, ARRAY_LEN(rows), &metrics);
    text = strndup((const char *)evbuffer_pullup(out, -1), evbuffer_get_length(out));
    evbuffer_free(out);
    assert_non_null(text);
    return text;
}

static void assert_has(const char *line)
{
    char *text = print();
    if (!strstr(text, line))
        fail_msg("no line \"%s\" in:\n%s", line, text);
    free(text);
}

static int clear(void **state)
{
    (void)state;
    memset(&metrics, 0, sizeof metrics);
    return 0;
}

static void test_counters_and_gauges(void **state)
{
    (void)state;
    metric_add(&metrics.started, 3);
    metric_add(&metrics.started, 4);
    metric_add(&metrics.ended_lost, 1);
    metric_set(&metrics.active, 9);
    metric_set(&metrics.active, 5);
    assert_int_equal(metric_get(&metrics.started), 7);
    assert_has("# HELP ringfleet_calls_started_total calls claimed\n"
               "# TYPE ringfleet_calls_started_total counter\n"
               "ringfleet_calls_started_total 7\n");
    assert_has("# TYPE ringfleet_calls_ended_total counter\n"
               "ringfleet_calls_ended_total{reason=\"hangup\"} 0\n"
               "ringfleet_calls_ended_total{reason=\"lost\",by=\"reap\"} 1\n");
    assert_has("# TYPE ringfleet_calls_active gauge\nringfleet_calls_active 5\n");
}

/* One value below the first bound, one exactly on a bound, two inside, one above all. */
static void test_histogram_is_cumulative(void **state)
{
    (void)state;
    metric_observe_us(&metrics.load, 1);
    metric_observe_us(&metrics.load, 1000);
    metric_observe_us(&metrics.load, 1001);
    metric_observe_us(&metrics.load, 700000);
    metric_observe_us(&metrics.load, 11000000);
    assert_has("# TYPE ringfleet_load_seconds histogram\n"
               "ringfleet_load_seconds_bucket{le=\"0.0005\"} 1\n"
               "ringfleet_load_seconds_bucket{le=\"0.001\"} 2\n"
               "ringfleet_load_seconds_bucket{le=\"0.0025\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.005\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.01\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.025\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.05\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.1\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.25\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"0.5\"} 3\n"
               "ringfleet_load_seconds_bucket{le=\"1\"} 4\n"
               "ringfleet_load_seconds_bucket{le=\"2.5\"} 4\n"
               "ringfleet_load_seconds_bucket{le=\"5\"} 4\n"
               "ringfleet_load_seconds_bucket{le=\"10\"} 4\n"
               "ringfleet_load_seconds_bucket{le=\"+Inf\"} 5\n"
               "ringfleet_load_seconds_sum 11.702002\n"
               "ringfleet_load_seconds_count 5\n");
}

static void test_labelled_histogram(void **state)
{
    (void)state;
    metric_observe_us(&metrics.media_open, 2000);
    assert_has("ringfleet_open_seconds_bucket{leg=\"ai\",le=\"+Inf\"} 0\n"
               "ringfleet_open_seconds_sum{leg=\"ai\"} 0.000000\n"
               "ringfleet_open_seconds_count{leg=\"ai\"} 0\n"
               "ringfleet_open_seconds_bucket{leg=\"media\",le=\"0.0005\"} 0\n");
    assert_has("ringfleet_open_seconds_bucket{leg=\"media\",le=\"0.0025\"} 1\n");
    assert_has("ringfleet_open_seconds_sum{leg=\"media\"} 0.002000\n");
}

/* A clock that stepped back counts as no time at all, not as 600,000 years. */
static void test_negative_duration(void **state)
{
    (void)state;
    metric_observe_us(&metrics.load, -5);
    assert_has("ringfleet_load_seconds_bucket{le=\"0.0005\"} 1\n");
    assert_has("ringfleet_load_seconds_sum 0.000000\nringfleet_load_seconds_count 1\n");
}

/* Three threads' values as one process's: each kind by its meaning. */
static void test_sum(void **state)
{
    static struct test_metrics parts[3];
    const void *const all[] = {&parts[0], &parts[1], &parts[2]};
    (void)state;
    memset(parts, 0, sizeof parts);
    memset(&metrics, 0xff, sizeof metrics); /* what was there before does not count */
    for (int i = 0; i < 3; i++) {
        metric_add(&parts[i].started, 10);
        metric_set(&parts[i].active, (uint64_t)i);
        metric_set(&parts[i].up, i != 1);
        metric_observe_us(&parts[i].load, 1000 + i);
    }
    metric_add(&parts[2].ended_lost, 1);
    metrics_sum(rows, ARRAY_LEN(rows), &metrics, all, 3);
    assert_has("ringfleet_calls_started_total 30\n");
    assert_has("ringfleet_calls_ended_total{reason=\"hangup\"} 0\nringfleet_calls_ended_total{reason=\"lost\",by=\"reap\"} 1\n");
    assert_has("ringfleet_calls_active 3\n");
    assert_has("# TYPE ringfleet_connected gauge\nringfleet_connected 0\n");
    assert_has("ringfleet_load_seconds_bucket{le=\"0.001\"} 1\nringfleet_load_seconds_bucket{le=\"0.0025\"} 3\n");
    assert_has("ringfleet_load_seconds_sum 0.003003\nringfleet_load_seconds_count 3\n");
    metric_set(&parts[1].up, 1);
    metrics_sum(rows, ARRAY_LEN(rows), &metrics, all, 3);
    assert_has("ringfleet_connected 1\n");
    metrics_sum(rows, ARRAY_LEN(rows), &metrics, all, 1);
    assert_has("ringfleet_calls_started_total 10\n");
}

/* ---- the text format's grammar, as promtool would check it ---- */

static size_t name_len(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || s[n] == '_' || s[n] == ':')
        n++;
    return n > 0 && !isdigit((unsigned char)s[0]) ? n : 0;
}

/* {name="value",...}; returns what follows, NULL if it is malformed. */
static const char *skip_labels(const char *at)
{
    if (*at != '{')
        return at;
    do {
        size_t n = name_len(++at);
        if (n == 0 || at[n] != '=' || at[n + 1] != '"')
            return NULL;
        for (at += n + 2; *at && *at != '"'; at++)
            at += *at == '\\';
        if (*at++ != '"')
            return NULL;
    } while (*at == ',');
    return *at == '}' ? at + 1 : NULL;
}

/* True if a sample called name (len bytes) belongs to the family that was typed last. */
static bool in_family(const char *name, size_t len, const char *family, const char *type)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    size_t family_len = strlen(family);
    if (strncmp(name, family, family_len) != 0)
        return false;
    if (strcmp(type, "histogram") != 0)
        return len == family_len;
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
        if (strlen(suffixes[i]) == len - family_len && strncmp(name + family_len, suffixes[i], len - family_len) == 0)
            return true;
    }
    return false;
}

static void check_sample(const char *line, const char *family, const char *type)
{
    size_t len = name_len(line);
    const char *at = len ? skip_labels(line + len) : NULL;
    char *end = NULL;
    if (at && *at == ' ')
        strtod(at + 1, &end);
    if (!end || end == at + 1 || *end)
        fail_msg("not a sample: %s", line);
    if (!in_family(line, len, family, type))
        fail_msg("sample outside its family %s: %s", family, line);
}

static void test_grammar(void **state)
{
    char *text = print(), *rest = text, *line, families[1024] = "", family[96] = "", type[16] = "", name[96];
    int samples = 0, typed = 0;
    (void)state;
    assert_int_equal(text[strlen(text) - 1], '\n');
    while ((line = strsep(&rest, "\n")) && rest) {
        if (sscanf(line, "# HELP %95s", name) == 1) {
            char once[100];
            snprintf(once, sizeof once, " %s ", name);
            if (strstr(families, once))
                fail_msg("family %s appears twice", name);
            strcat(families, once);
        } else if (sscanf(line, "# TYPE %95s %15s", family, type) == 2) {
            assert_string_equal(family, name);
            typed++;
        } else {
            check_sample(line, family, type);
            samples++;
        }
    }
    assert_int_equal(typed, 6);
    assert_int_equal(samples, 5 + 3 * (METRIC_BUCKET_COUNT + 3));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_counters_and_gauges, clear),
        cmocka_unit_test_setup(test_histogram_is_cumulative, clear),
        cmocka_unit_test_setup(test_labelled_histogram, clear),
        cmocka_unit_test_setup(test_negative_duration, clear),
        cmocka_unit_test_setup(test_sum, clear),
        cmocka_unit_test_setup(test_grammar, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
