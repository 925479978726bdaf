/* The warmer's settings: one table (see common/base/config.h). */
#pragma once
#include "common/base/config.h"

#define WARMER_CONFIG(X)                                                                                          \
    CONFIG_SHARED(X, "0.0.0.0:9100")                                                                              \
    X(ADDR, listen, "LISTEN", "0.0.0.0:8080", "host:port", "the webhooks; TLS ends in front of it")               \
    X(URL, public_url, "PUBLIC_URL", NULL, "https", "base of the webhooks as the carrier sees it")                \
    X(URL, media_url, "MEDIA_URL", NULL, "wss", "where callers' media streams are sent: wss://host/media")        \
    X(SECRET, twilio_auth_token, "TWILIO_AUTH_TOKEN", NULL, "token,token", "what webhooks are signed with")       \
    X(SECRET, stream_secret, "STREAM_SECRET", NULL, "text", "signs stream tokens; the same in the workers")       \
    X(SECRET, database_url, "DATABASE_URL", NULL, "libpq URI", "the Postgres with the businesses")                \
    X(INT, db_connections, "DB_CONNECTIONS", "2", "1..32", "connections to it; each pipelines")                   \
    X(STR, sql_dir, "SQL_DIR", "", "directory", "files that replace built-in SQL of the same name")               \
    X(INT, warm_deadline_ms, "WARM_DEADLINE_MS", "400", "20..10000",                                              \
      "how long the database, and then Redis, may keep a caller waiting")                                         \
    X(INT, context_ttl_seconds, "CONTEXT_TTL_SECONDS", "86400", "600..604800", "life of a call's context")        \
    X(INT, token_ttl_seconds, "TOKEN_TTL_SECONDS", "60", "5..600", "how soon a stream must come")                 \
    X(INT, max_resumes, "MAX_RESUMES", "5", "0..100", "how often in a row a call may lose its worker")        \
    X(INT, resume_wait_seconds, "RESUME_WAIT_SECONDS", "60", "0..600",                                            \
      "how long a call waits for a worker, or Redis, to come back")                                               \
    X(STR, hold_text, "HOLD_TEXT", "One moment, please.", "text", "spoken while it waits; empty for silence")     \
    X(STR, refusal_text, "REFUSAL_TEXT", "This number is not in service. Goodbye.", "text",                       \
      "spoken to callers of a number that no business has")                                                       \
    X(STR, apology_text, "APOLOGY_TEXT", "We are sorry, we cannot take your call right now. Please call again later.", \
      "text", "spoken when a call cannot be served")                                                              \
    X(STR, fallback_number, "FALLBACK_NUMBER", "", "E.164", "dialled instead of that apology")                    \
    X(INT, record_calls, "RECORD_CALLS", "0", "0..1",                                                             \
      "1: the carrier records calls from their first stream on; see to it that callers are told")                 \
    X(INT, max_opening, "MAX_OPENING", "256", "1..512", "calls opened at once; further ones are sent away")       \
    X(SECRET, api_key, "API_KEY", "", "text",                                                                     \
      "bearer key of POST /prompts and POST /calls; without it those paths are closed")                           \
    X(STR, twilio_account_sid, "TWILIO_ACCOUNT_SID", "", "AC..", "the account that dials; its token is the first of those") \
    X(URL, twilio_api_url, "TWILIO_API_URL", "https://api.twilio.com", "https|http", "Twilio's REST API")         \
    X(INT, calls_per_second, "CALLS_PER_SECOND", "1", "1..100", "calls dialled per second and account, by all warmers") \
    X(INT, max_business_calls, "MAX_BUSINESS_CALLS", "10", "1..10000",                                            \
      "calls we dialled that a business may have at once, where it says nothing else (max_calls)")                \
    X(INT, ring_seconds, "RING_SECONDS", "45", "5..600", "how long a callee's phone rings")                       \
    X(CHOICE, machine_detection, "MACHINE_DETECTION", "async", "off|async|enable|detect-message-end",             \
      "whether the carrier says who picked up, and whether people wait for that (all but async)")                             \
    X(STR, calling_hours, "CALLING_HOURS", "08:00-21:00", "HH:MM-HH:MM",                                          \
      "when people may be called, in their own time zone if it is known, else the business'")                        \
    X(URL, elevenlabs_url, "ELEVENLABS_URL", "https://api.elevenlabs.io", "https|http", "ElevenLabs' REST API")     \
    X(SECRET, elevenlabs_api_key, "ELEVENLABS_API_KEY", "", "text", "key of the account whose agents dial")       \
    X(SECRET, elevenlabs_tool_key, "ELEVENLABS_TOOL_KEY", "", "text",                                             \
      "bearer key of /webhooks/elevenlabs/ dialogue, call and personalization; without it those are closed")      \
    X(SECRET, elevenlabs_webhook_secret, "ELEVENLABS_WEBHOOK_SECRET", "", "wsec_..",                              \
      "what ElevenLabs' post-call webhooks are signed with; without it that path is closed")                      \
    X(ADDR, elevenlabs_listen, "ELEVENLABS_LISTEN", "0.0.0.0:8082", "host:port",                                   \
      "ElevenLabs' post-call webhooks, which may be large; open where their secret is set")                       \
    X(STR, audio_dir, "AUDIO_DIR", "", "directory", "where recordings stay that post-call webhooks bring; none: the flusher fetches them") \
    X(STR, api_ca_file, "API_CA_FILE", "", "file", "certificates that vouch for the providers' APIs; else the system's")

struct warmer_config {
    WARMER_CONFIG(CONFIG_MEMBER)
};
