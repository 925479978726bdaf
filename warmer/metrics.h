/* What the warmer counts: one table (see common/base/metrics.h). */
#pragma once
#include "common/base/metrics.h"

#define WARMER_METRICS(X)                                                                                         \
    X(COUNTER, opened_database, "calls_opened_total", "source=\"database\"", "calls answered, by context")        \
    X(COUNTER, opened_snapshot, "calls_opened_total", "source=\"snapshot\"", "calls answered, by context")        \
    X(COUNTER, opened_minimal, "calls_opened_total", "source=\"minimal\"", "calls answered, by context")          \
    X(COUNTER, opened_again, "calls_opened_again_total", "", "first webhooks that came twice")                    \
    X(COUNTER, refused, "calls_refused_total", "", "calls to a number that no business has")                      \
    X(COUNTER, filled_late, "contexts_filled_late_total", "", "contexts completed after the answer")              \
    X(COUNTER, resumed, "streams_offered_again_total", "", "after one had ended without a verdict")               \
    X(COUNTER, waits_worker, "call_waits_total", "for=\"worker\"", "pauses before the next try, by what was missing") \
    X(COUNTER, waits_redis, "call_waits_total", "for=\"redis\"", "pauses before the next try, by what was missing") \
    X(COUNTER, hung_up, "calls_after_total", "verdict=\"hangup\"", "ends of a stream, by verdict")                \
    X(COUNTER, transferred, "calls_after_total", "verdict=\"transfer\"", "ends of a stream, by verdict")          \
    X(COUNTER, apologized, "calls_after_total", "verdict=\"apology\"", "ends of a stream, by verdict")            \
    X(COUNTER, over, "calls_after_total", "verdict=\"over\"", "ends of a stream, by verdict")                     \
    X(COUNTER, sorry_redis, "apologies_total", "reason=\"redis\"", "callers we had to send away, by reason")      \
    X(COUNTER, sorry_overload, "apologies_total", "reason=\"overload\"", "callers we had to send away, by reason") \
    X(COUNTER, sorry_resumes, "apologies_total", "reason=\"resumes\"", "callers we had to send away, by reason")  \
    X(COUNTER, sorry_unknown, "apologies_total", "reason=\"unknown\"", "callers we had to send away, by reason")  \
    X(COUNTER, fallbacks, "fallbacks_total", "", "calls the carrier could not go on with until it asked here")    \
    X(COUNTER, stream_errors, "stream_errors_total", "", "streams the carrier could not open, or lost")           \
    X(COUNTER, recordings_absent, "recordings_absent_total", "", "recordings that the carrier did not make")      \
    X(COUNTER, events_added, "carrier_events_total", "result=\"added\"", "callbacks for the journal, by result")  \
    X(COUNTER, events_duplicate, "carrier_events_total", "result=\"duplicate\"",                                  \
      "callbacks for the journal, by result")                                                                     \
    X(COUNTER, events_failed, "carrier_events_total", "result=\"failed\"", "callbacks for the journal, by result") \
    X(COUNTER, prompts_made, "prompts_total", "result=\"made\"", "prompts asked for over HTTP, by result")        \
    X(COUNTER, prompts_unknown, "prompts_total", "result=\"unknown\"", "prompts asked for over HTTP, by result")  \
    X(COUNTER, prompts_failed, "prompts_total", "result=\"failed\"", "prompts asked for over HTTP, by result")    \
    X(COUNTER, calls_queued, "outbound_calls_total", "result=\"queued\"", "callees of POST /calls, by result")       \
    X(COUNTER, calls_refused_outbound, "outbound_calls_total", "result=\"refused\"", "callees of POST /calls, by result") \
    X(COUNTER, dial_done, "dials_total", "result=\"dialled\"", "attempts to dial, by result")                      \
    X(COUNTER, dial_retried, "dials_total", "result=\"retried\"", "attempts to dial, by result")                   \
    X(COUNTER, dial_unsure, "dials_total", "result=\"unsure\"", "attempts to dial, by result")                     \
    X(COUNTER, dial_failed, "dials_total", "result=\"failed\"", "attempts to dial, by result")                     \
    X(COUNTER, dial_found, "dials_found_total", "", "calls that were dialled although the answer was lost")       \
    X(COUNTER, states_found, "call_states_found_total", "", "ends of calls that only the provider's API told")    \
    X(COUNTER, queue_failed, "outbound_queue_errors_total", "", "words to the queue that Redis did not take")     \
    X(GAUGE, dialling, "dials_under_way", "", "attempts to dial under way")                                       \
    X(COUNTER, reports_kept, "conversation_reports_total", "result=\"kept\"", "what a provider said of a conversation, by result") \
    X(COUNTER, reports_again, "conversation_reports_total", "result=\"again\"", "what a provider said of a conversation, by result") \
    X(COUNTER, reports_unknown, "conversation_reports_total", "result=\"unknown\"", "what a provider said of a conversation, by result") \
    X(COUNTER, reports_failed, "conversation_reports_total", "result=\"failed\"", "what a provider said of a conversation, by result") \
    X(COUNTER, audio_kept, "conversation_audio_total", "", "recordings that post-call webhooks brought")          \
    X(COUNTER, lines_kept, "dialogue_lines_total", "result=\"kept\"", "lines that a provider sent during a call, by result") \
    X(COUNTER, lines_again, "dialogue_lines_total", "result=\"again\"", "lines that a provider sent during a call, by result") \
    X(COUNTER, lines_refused, "dialogue_lines_total", "result=\"refused\"", "lines that a provider sent during a call, by result") \
    X(COUNTER, lines_failed, "dialogue_lines_total", "result=\"failed\"", "lines that a provider sent during a call, by result") \
    X(COUNTER, forged, "requests_refused_total", "reason=\"signature\"", "requests refused, by reason")           \
    X(COUNTER, malformed, "requests_refused_total", "reason=\"malformed\"", "requests refused, by reason")        \
    X(COUNTER, no_route, "requests_refused_total", "reason=\"route\"", "requests refused, by reason")             \
    X(COUNTER, slow_requests, "requests_refused_total", "reason=\"slow\"", "requests refused, by reason")         \
    X(COUNTER, unauthorized, "requests_refused_total", "reason=\"key\"", "requests refused, by reason")           \
    X(COUNTER, accept_pauses, "accept_pauses_total", "", "times the connection bound was reached")                \
    X(COUNTER, large_waits, "large_request_waits_total", "", "requests that were read later: many large ones came at once") \
    X(GAUGE, requests, "http_requests", "", "webhooks that wait for their answer")                                \
    X(GAUGE, opening, "calls_opening", "", "first webhooks that wait for their answer")                           \
    X(GAUGE, connections, "http_connections", "", "open connections of the carrier")                              \
    X(COUNTER, load_failed, "load_failures_total", "", "loads that the database refused or lost")                 \
    X(COUNTER, booked_failed, "load_booked_times_failures_total", "", "booked times that the database refused or lost") \
    X(COUNTER, load_late, "load_late_total", "", "loads that missed the deadline")                                \
    X(COUNTER, load_unsent, "load_unsent_total", "", "loads for which no connection was ready")                   \
    X(COUNTER, open_failed, "open_call_failures_total", "", "call_log rows that could not be written")            \
    X(COUNTER, fields_dropped, "context_fields_dropped_total", "", "columns too large for a context")             \
    X(COUNTER, template_errors, "template_errors_total", "", "templates of a business that are broken")           \
    X(COUNTER, ask_errors, "redis_errors_total", "kind=\"error\"", "questions to Redis that failed, by kind")     \
    X(COUNTER, ask_late, "redis_errors_total", "kind=\"late\"", "questions to Redis that failed, by kind")        \
    X(COUNTER, ask_away, "redis_errors_total", "kind=\"away\"", "questions to Redis that failed, by kind")        \
    X(COUNTER, ask_full, "redis_errors_total", "kind=\"full\"", "questions to Redis that failed, by kind")        \
    X(COUNTER, snapshots_lost, "snapshots_lost_total", "", "snapshots of a business that could not be kept")      \
    X(GAUGE, database_away, "database_away", "", "1 while calls are answered without the database: the alarm")    \
    X(GAUGE, redis_up, "redis_up", "", "1 while Redis can be asked, all of a cluster")                            \
    X(COUNTER, redis_redirects, "redis_redirects_total", "", "commands that a node of a cluster sent on to another") \
    X(GAUGE, database_up, "database_connections_up", "", "connections to Postgres that can load")                 \
    X(HISTOGRAM, answer_seconds, "incoming_answer_seconds", "", "first webhook to TwiML")                         \
    X(HISTOGRAM, load_seconds, "load_seconds", "", "open and load, one round trip")

struct warmer_metrics {
    WARMER_METRICS(METRIC_MEMBER)
};
