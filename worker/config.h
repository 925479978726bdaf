/* The worker's settings. */
#pragma once
#include "common/base/config.h"

#define WORKER_CONFIG(X)                                                                                           \
    CONFIG_SHARED(X, "0.0.0.0:9101")                                                                               \
    X(ADDR, listen, "LISTEN", "0.0.0.0:8081", "host:port", "the carrier's media streams, GET /media")             \
    X(NAME, worker_id, "WORKER_ID", "", "up to 127 " CONFIG_NAME_SET,                                              \
      "name of this worker in Redis and logs; host name and pid if empty")                                         \
    X(SECRET, stream_secret, "STREAM_SECRET", NULL, "text", "signs the stream tokens; the same as the warmer's")   \
    X(INT, max_calls, "MAX_CALLS", "500", "1..20000", "calls carried at once; further streams get 503")            \
    X(INT, threads, "THREADS", "1", "1..64", "event loops, each on a thread of its own")                            \
    X(INT, drain_seconds, "DRAIN_SECONDS", "600", "0..86400",                                                      \
      "after SIGTERM, how long calls may finish here before they are handed to another worker")                    \
    X(INT, lease_seconds, "LEASE_SECONDS", "15", "3..300", "a call not renewed for so long counts as abandoned")    \
    X(STR, spool_dir, "SPOOL_DIR", "", "path",                                                                     \
      "a directory for journal entries that Redis cannot take; empty: past a bound they are lost")                 \
    X(INT, spool_max_bytes, "SPOOL_MAX_BYTES", "268435456", "1048576..1099511627776",                              \
      "what this worker keeps there at most")                                                                      \
    X(CHOICE, ai_provider, "AI_PROVIDER", "openai", "openai|elevenlabs", "who speaks")                              \
    X(URL, ai_url, "AI_URL", "", "wss|ws", "the provider's address, without query; the usual one if empty")        \
    X(STR, ai_model, "AI_MODEL", "gpt-realtime-2.1", "text", "model of the conversation")                          \
    X(STR, ai_voice, "AI_VOICE", "", "text",                                                                       \
      "voice where the business has set none; if empty marin (openai), the agent's own (elevenlabs)")              \
    X(STR, ai_transcription_model, "AI_TRANSCRIPTION_MODEL", "gpt-4o-mini-transcribe", "text",                     \
      "writes down what the caller says; empty for none")                                                          \
    X(STR, ai_ca_file, "AI_CA_FILE", "", "path", "certificates that vouch for the provider; the system's if empty") \
    X(INT, ai_pool_size, "AI_POOL_SIZE", "2", "0..256",                                                            \
      "AI sessions opened ahead for the next calls, by each event loop")                                           \
    X(INT, ai_pool_age_seconds, "AI_POOL_AGE_SECONDS", "600", "10..3000",                                          \
      "an unused session is replaced at this age; its life counts from its opening")                               \
    X(INT, silence_nudge_seconds, "SILENCE_NUDGE_SECONDS", "12", "0..600",                                         \
      "nobody has spoken for so long: the caller is asked; 0 never")                                               \
    X(INT, silence_hangup_seconds, "SILENCE_HANGUP_SECONDS", "12", "0..600",                                       \
      "and for so long after that: goodbye; 0 never")                                                              \
    X(INT, max_call_seconds, "MAX_CALL_SECONDS", "3600", "0..86400",                                               \
      "longest call; a minute (at most a tenth) before, the caller is told; 0 for no limit")                        \
    X(STR, tool_ca_file, "TOOL_CA_FILE", "", "path",                                                               \
      "certificates that vouch for the businesses' own tools; the system's if empty")                              \
    X(INT, tool_allow_private, "TOOL_ALLOW_PRIVATE", "0", "0..1",                                                  \
      "1 lets the businesses' own tools be at private addresses and at http://")                                   \
    X(SECRET, openai_api_key, "OPENAI_API_KEY", "", "text", "key of the account; required with openai")            \
    X(SECRET, elevenlabs_api_key, "ELEVENLABS_API_KEY", "", "text",                                                \
      "key of the account, with elevenlabs; empty only for an agent that anybody may talk to")                     \
    X(STR, elevenlabs_agent_id, "ELEVENLABS_AGENT_ID", "", "text",                                                 \
      "the agent that takes calls, where the context has no ai_agent_id")

struct worker_config {
    WORKER_CONFIG(CONFIG_MEMBER)
};
