/* What the warmer counts: one table (see common/base/metrics.h). */
#pragma once
#include "common/base/metrics.h"

#define WARMER_METRICS(X)                                                                                         \
    X(COUNTER, opened_database, "calls_opened_total", "source=\"database\"", "calls answered, by context")        \
    X(COUNTER, opened_minimal, "calls_opened_total", "source=\"minimal\"", "calls answered, by context")          \
    X(COUNTER, opened_again, "calls_opened_again_total", "", "first webhooks that came twice")                    \
    X(COUNTER, refused, "calls_refused_total", "", "calls to a number that no business has")                      \
    X(COUNTER, filled_late, "contexts_filled_late_total", "", "contexts completed after the answer")              \
    X(COUNTER, resumed, "calls_resumed_total", "", "streams offered after one had ended")                         \
    X(COUNTER, hung_up, "calls_after_total", "verdict=\"hangup\"", "ends of a stream, by verdict")                \
    X(COUNTER, transferred, "calls_after_total", "verdict=\"transfer\"", "ends of a stream, by verdict")          \
    X(COUNTER, over, "calls_after_total", "verdict=\"over\"", "ends of a stream, by verdict")                     \
    X(COUNTER, sorry_redis, "apologies_total", "reason=\"redis\"", "callers we had to send away, by reason")      \
    X(COUNTER, sorry_resumes, "apologies_total", "reason=\"resumes\"", "callers we had to send away, by reason")  \
    X(COUNTER, sorry_unknown, "apologies_total", "reason=\"unknown\"", "callers we had to send away, by reason")  \
    X(COUNTER, status_added, "status_events_total", "result=\"added\"", "status callbacks, by result")            \
    X(COUNTER, status_duplicate, "status_events_total", "result=\"duplicate\"", "status callbacks, by result")    \
    X(COUNTER, status_failed, "status_events_total", "result=\"failed\"", "status callbacks, by result")          \
    X(COUNTER, forged, "requests_refused_total", "reason=\"signature\"", "requests refused, by reason")           \
    X(COUNTER, malformed, "requests_refused_total", "reason=\"malformed\"", "requests refused, by reason")        \
    X(COUNTER, no_route, "requests_refused_total", "reason=\"route\"", "requests refused, by reason")             \
    X(COUNTER, accept_pauses, "accept_pauses_total", "", "times the connection bound was reached")                \
    X(GAUGE, requests, "http_requests", "", "webhooks that wait for their answer")                                \
    X(GAUGE, connections, "http_connections", "", "open connections of the carrier")                              \
    X(COUNTER, load_failed, "load_failures_total", "", "loads that the database refused or lost")                 \
    X(COUNTER, load_unsent, "load_unsent_total", "", "loads for which no connection was ready")                   \
    X(COUNTER, open_failed, "open_call_failures_total", "", "call_log rows that could not be written")            \
    X(COUNTER, fields_dropped, "context_fields_dropped_total", "", "columns too large for a context")             \
    X(COUNTER, template_errors, "template_errors_total", "", "templates of a business that are broken")           \
    X(COUNTER, ask_errors, "redis_errors_total", "kind=\"error\"", "questions to Redis that failed, by kind")     \
    X(COUNTER, ask_late, "redis_errors_total", "kind=\"late\"", "questions to Redis that failed, by kind")        \
    X(COUNTER, ask_away, "redis_errors_total", "kind=\"away\"", "questions to Redis that failed, by kind")        \
    X(COUNTER, ask_full, "redis_errors_total", "kind=\"full\"", "questions to Redis that failed, by kind")        \
    X(GAUGE, redis_up, "redis_up", "", "1 while Redis can be asked")                                              \
    X(GAUGE, database_up, "database_connections_up", "", "connections to Postgres that can load")                 \
    X(HISTOGRAM, answer_seconds, "incoming_answer_seconds", "", "first webhook to TwiML")                         \
    X(HISTOGRAM, load_seconds, "load_seconds", "", "open and load, one round trip")

struct warmer_metrics {
    WARMER_METRICS(METRIC_MEMBER)
};
