/* The worker's metrics, and the reasons a call can end for: one table each. */
#pragma once
#include "common/base/metrics.h"

/* X(ID, "name in logs, Redis and metrics", close code the carrier's socket gets, verdict)
 * The verdict is what the warmer reads when the carrier asks what comes next: "" lets another worker
 * go on with the call, "hangup" ends it, "apology" says the configured words first, "transfer:" (with the
 * number) dials. */
#define CALL_REASONS(X)                               \
    X(CARRIER_STOP, "carrier_stop", 1000, "")         \
    X(AGENT_HANGUP, "agent_hangup", 1000, "hangup")   \
    X(AGENT_TRANSFER, "agent_transfer", 1000, "transfer:") \
    X(VOICEMAIL, "voicemail", 1000, "hangup")         \
    X(SILENCE, "silence", 1000, "hangup")             \
    X(TIME_LIMIT, "time_limit", 1000, "hangup")       \
    X(CARRIER_LOST, "carrier_lost", 1000, "")         \
    X(CARRIER_PROTOCOL, "carrier_protocol", 1002, "") \
    X(TOKEN_REFUSED, "token_refused", 1008, "")       \
    X(CLAIM_REFUSED, "claim_refused", 1008, "")       \
    X(STORE_AWAY, "store_away", 1013, "")             \
    X(FENCED, "fenced", 1001, "")                     \
    X(AI_UNREACHABLE, "ai_unreachable", 1011, "apology") \
    X(AI_REFUSED, "ai_refused", 1011, "apology")      \
    X(AI_FAILED, "ai_failed", 1011, "apology")        \
    X(START_TIMEOUT, "start_timeout", 1008, "")       \
    X(DRAINED, "drained", 1001, "")                   \
    X(NO_MEMORY, "no_memory", 1011, "")               \
    X(CARRIER_FLOOD, "carrier_flood", 1008, "")       \
    X(CARRIER_SLOW, "carrier_slow", 1008, "")     \
    X(FULL, "full", 1013, "")

enum call_reason {
#define X(id, name, code, verdict) REASON_##id,
    CALL_REASONS(X)
#undef X
    CALL_REASON_COUNT
};

/* What a peer can do wrong on its connection. X(ID, "name in metrics") */
#define PEER_FAULTS(X)                                                                  \
    X(HTTP, "bad_http")              /* no WebSocket handshake, or a wrong one */       \
    X(TIMEOUT, "handshake_timeout")  /* none in time */                                 \
    X(PROTOCOL, "protocol")          /* RFC 6455 broken: 1002 */                        \
    X(UNSUPPORTED, "binary")         /* 1003 */                                         \
    X(BAD_UTF8, "bad_utf8")          /* 1007 */                                         \
    X(TOO_BIG, "too_big")            /* frame or message: 1009 */                       \
    X(FLOOD, "flood")                /* more than it could have reason to send: 1008 */ \
    X(SLOW, "slow_reader")           /* does not read what it asked for */
#define PEER_FAULTS_HELP "connections ended because the peer broke a rule"

enum peer_fault {
    FAULT_NONE = -1,
#define X(id, name) FAULT_##id,
    PEER_FAULTS(X)
#undef X
    PEER_FAULT_COUNT
};

#define WORKER_METRICS(X)                                                                                          \
    X(GAUGE, calls_active, "calls_active", "", "calls carried now")                                                \
    X(GAUGE, calls_capacity, "calls_capacity", "", "calls this worker takes at most")                              \
    X(GAUGE, draining, "draining", "", "1 while the worker takes no new calls")                                    \
    X(COUNTER, streams_total, "streams_total", "", "media streams accepted")                                       \
    X(COUNTER, streams_refused, "streams_refused_total", "", "upgrades refused: full, draining or not understood")  \
    X(COUNTER, calls_claimed, "calls_claimed_total", "", "calls claimed in Redis")                                 \
    X(COUNTER, calls_resumed, "calls_resumed_total", "", "of these, calls taken over from another worker")         \
    X(COUNTER, frames_in, "carrier_frames_total", "direction=\"in\"", "audio messages of the carrier leg")         \
    X(COUNTER, frames_out, "carrier_frames_total", "direction=\"out\"", "audio messages of the carrier leg")       \
    X(COUNTER, frames_merged, "carrier_frames_merged_total", "",                                                   \
      "audio messages that went to the AI in one with those before them")                                          \
    X(COUNTER, frames_reordered, "carrier_frames_reordered_total", "", "audio messages that came before their turn") \
    X(COUNTER, frames_dropped, "carrier_frames_dropped_total", "", "audio messages that came too late, or twice")  \
    X(COUNTER, carrier_refused, "carrier_refused_total", "", "messages of ours that the carrier refused")          \
    X(COUNTER, calls_left_up, "calls_left_up_total", "",                                                           \
      "streams we ended whose carrier keeps the call up until its API is told")                                    \
    X(COUNTER, early_audio_dropped, "early_audio_dropped_bytes_total", "",                                         \
      "caller audio past what is kept while the AI connects")                                                      \
    X(COUNTER, late_audio_dropped, "late_audio_dropped_total", "", "AI audio of answers that were interrupted")    \
    X(COUNTER, barge_ins, "barge_ins_total", "", "answers interrupted by the caller")                              \
    X(COUNTER, turns_caller, "turns_total", "speaker=\"caller\"", "turns journalled")                              \
    X(COUNTER, turns_assistant, "turns_total", "speaker=\"assistant\"", "turns journalled")                        \
    X(COUNTER, ai_refused, "ai_refused_total", "", "events of ours that the AI provider refused")                  \
    X(COUNTER, ai_failed, "ai_responses_failed_total", "", "answers the AI provider could not give")               \
    X(COUNTER, ai_rebuilt, "ai_sessions_rebuilt_total", "", "sessions replaced in the middle of a call")           \
    X(COUNTER, ai_rotated, "ai_sessions_rotated_total", "", "sessions replaced in a pause, ahead of their end")      \
    X(GAUGE, ai_pool_ready, "ai_pool_ready", "", "AI sessions that stand open for the next calls")                 \
    X(COUNTER, ai_pool_hits, "ai_pool_taken_total", "", "calls that found a session open")                         \
    X(COUNTER, ai_pool_failed, "ai_pool_failed_total", "", "sessions that could not be opened ahead")              \
    X(COUNTER, greetings_cached, "greetings_cached_total", "", "greetings played from the cache")                  \
    X(COUNTER, silence_filled, "silence_filled_bytes_total", "", "silence sent for audio the carrier left out")    \
    X(COUNTER, nudges, "silence_nudges_total", "", "callers asked whether they are still there")                   \
    X(COUNTER, dtmf, "dtmf_digits_total", "", "keys pressed by callers")                                            \
    X(COUNTER, tools_done, "tool_calls_total", "result=\"ok\"", "tools the AI called")                             \
    X(COUNTER, tools_failed, "tool_calls_total", "result=\"error\"", "tools the AI called")                        \
    X(COUNTER, tools_repeated, "tool_calls_total", "result=\"repeated\"", "tools the AI called")                   \
    X(COUNTER, appointments_held, "appointments_total", "result=\"held\"", "appointments asked for")               \
    X(COUNTER, appointments_taken, "appointments_total", "result=\"taken\"", "appointments asked for")             \
    X(COUNTER, web_good, "tool_requests_total", "result=\"ok\"", "requests to the businesses' own tools")          \
    X(COUNTER, web_status, "tool_requests_total", "result=\"status\"", "requests to the businesses' own tools")    \
    X(COUNTER, web_timeout, "tool_requests_total", "result=\"timeout\"", "requests to the businesses' own tools")  \
    X(COUNTER, web_refused, "tool_requests_total", "result=\"refused\"", "requests to the businesses' own tools")  \
    X(COUNTER, web_failed, "tool_requests_total", "result=\"failed\"", "requests to the businesses' own tools")    \
    X(HISTOGRAM, web_seconds, "tool_request_seconds", "", "requests to the businesses' own tools, to the last byte") \
    X(COUNTER, journal_appended, "journal_appended_total", "", "journal entries confirmed by Redis")               \
    X(COUNTER, journal_refused, "journal_refused_total", "", "journal entries lost: past the bound of what may wait, or at the end of a call") \
    X(COUNTER, journal_fenced, "journal_fenced_total", "", "journals stopped because another worker has the call, or Redis has it no more") \
    X(GAUGE, spool_files, "spool_files", "", "calls of which journal entries wait on disk")                        \
    X(GAUGE, spool_bytes, "spool_bytes", "", "what they take there")                                               \
    X(COUNTER, spool_written, "spool_written_total", "", "journal entries and ends of calls written to disk")      \
    X(COUNTER, spool_full, "spool_refused_total", "reason=\"full\"", "journal entries that the disk did not take") \
    X(COUNTER, spool_failed, "spool_refused_total", "reason=\"disk\"", "journal entries that the disk did not take") \
    X(COUNTER, spool_returned, "spool_returned_total", "to=\"journal\"", "journal entries brought back from disk") \
    X(COUNTER, spool_buried, "spool_returned_total", "to=\"dead\"", "journal entries brought back from disk")      \
    X(COUNTER, spool_refused, "spool_returned_total", "to=\"nobody\"", "journal entries brought back from disk")   \
    X(COUNTER, spool_damaged, "spool_damaged_total", "", "spool files that were not whole")                        \
    X(GAUGE, guests, "connections_waiting", "", "connections that have not sent their request yet")                \
    X(GAUGE, newcomers, "streams_waiting", "", "media streams that have not sent their start yet")                 \
    X(COUNTER, guests_dropped, "connections_dropped_total", "",                                                    \
      "connections closed, still without a request or a start, to make room for newer ones")                       \
    X(COUNTER, loops_full, "connections_refused_total", "", "connections that no event loop took")                 \
    X(COUNTER, reads_cut, "reads_cut_total", "", "times a connection had more to read than one turn allows")       \
    X(COUNTER, journal_reclaimed, "journal_reclaimed_total", "",                                                   \
      "calls taken back after this worker was believed dead")                                                      \
    X(COUNTER, journal_repeated, "journal_repeated_total", "",                                                     \
      "journal entries sent again, which a Redis had acknowledged and its replica did not have")                   \
    X(GAUGE, websockets, "websockets", "", "open sockets of both legs, those in their closing too")                \
    X(GAUGE, loops, "loops", "", "event loops")                                                                    \
    X(GAUGE, loops_brisk, "loops_brisk", "", "event loops that look at their sockets at short steps")              \
    X(GAUGE, loops_pressed, "loops_pressed", "", "event loops without time to spare: they take callers' audio two frames at a time") \
    X(GAUGE_MIN, ai_address_known, "ai_address_known", "", "1 while every event loop knows where to open AI sessions") \
    X(COUNTER, agent_urls_failed, "agent_urls_failed_total", "", "signed addresses of agents that were not to be had") \
    X(GAUGE_MIN, redis_up, "redis_up", "", "1 while every event loop is connected to Redis, to all of a cluster")  \
    X(GAUGE_MIN, redis_reached, "redis_reached", "", "the same with a part of a cluster: calls of that part can be taken") \
    X(COUNTER, redis_redirects, "redis_redirects_total", "", "commands that a node of a cluster sent on to another") \
    X(HISTOGRAM, loop_lag, "loop_lag_seconds", "", "how late an event loop came to its timer, the worst of each second")      \
    X(HISTOGRAM, claim_seconds, "claim_seconds", "", "claim sent to context read")                                 \
    X(HISTOGRAM, ai_ready_seconds, "ai_ready_seconds", "", "stream start to AI session configured")                \
    X(HISTOGRAM, first_audio_seconds, "first_audio_seconds", "", "stream start to the first audio of a greeting") \
    X(HISTOGRAM, prompt_upgrade, "prompt_upgrade_seconds", "", "decision to bytes handed to the socket")

struct worker_metrics {
    metric_value ended[CALL_REASON_COUNT];
    metric_value carrier_faults[PEER_FAULT_COUNT], ai_faults[PEER_FAULT_COUNT];
    WORKER_METRICS(METRIC_MEMBER)
};

/* All loops' as one (metrics_sum). */
void worker_metrics_sum(struct worker_metrics *total, const void *const parts[], int count);

struct evbuffer;
void worker_metrics_print(struct evbuffer *out, const struct worker_metrics *total);
