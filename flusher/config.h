/* Settings of the flusher. */
#pragma once
#include "common/base/config.h"

#define FLUSHER_CONFIG(X)                                                                                        \
    CONFIG_SHARED(X, "0.0.0.0:9102")                                                                             \
    X(SECRET, database_url, "DATABASE_URL", NULL, "libpq URI",                                                   \
      "the database that calls are written to: postgres://user:pass@host/name")                                  \
    X(STR, sql_dir, "SQL_DIR", "", "directory", "where apply_<type>.sql files of your own override the built-in ones") \
    X(NAME, consumer, "CONSUMER", "", "up to 200 " CONFIG_NAME_SET,                                              \
      "name in the consumer group; by default <hostname>-<pid>")                                                 \
    X(INT, flush_threads, "FLUSH_THREADS", "2", "1..16", "lanes, each with a connection to Redis and one to Postgres") \
    X(INT, batch_calls, "BATCH_CALLS", "500", "1..1000", "most calls that share one transaction; a call waits for no other") \
    X(INT, claim_idle_ms, "CLAIM_IDLE_MS", "30000", "100..86400000",                                             \
      "how long a call may lie with a flusher that says nothing before another takes it over")                   \
    X(INT, reap_grace_ms, "REAP_GRACE_MS", "10000", "0..86400000",                                               \
      "how long after its lease lapsed a call counts as lost by its worker")                                     \
    X(INT, retention_seconds, "RETENTION_SECONDS", "3600", "0..31536000",                                        \
      "how long a flushed call's journal stays in Redis, for reading and for late webhooks")                     \
    X(INT, final_wait_seconds, "FINAL_WAIT_SECONDS", "86400", "0..31536000",                                     \
      "the same for a call whose final status never came")                                                       \
    AFTER_CALL_CONFIG(X)

/* What is done once a call is in the database (flusher/jobs/). */
#define AFTER_CALL_CONFIG(X)                                                                                     \
    X(CHOICE, jobs, "JOBS", "here", "here|elsewhere",                                                            \
      "where the jobs below are done: in this process, or elsewhere by a `flusher jobs`; the flush only notes them") \
    X(INT, job_attempts, "JOB_ATTEMPTS", "16", "1..100", "attempts at a job before it is given up; by default over 6 hours") \
    X(INT, job_retry_ms, "JOB_RETRY_MS", "2000", "10..3600000",                                                  \
      "rest after the first attempt that failed; twice as long after each further one, an hour at most")         \
    X(INT, job_lease_seconds, "JOB_LEASE_SECONDS", "60", "2..3600",                                              \
      "how long a job may lie with a process that says nothing before another takes it over")                    \
    X(STR, job_ca_file, "JOB_CA_FILE", "", "file", "certificates that vouch for whom the jobs talk to; else the system's") \
    X(STR, recording_store, "RECORDING_STORE", "", "directory or s3://bucket/prefix",                            \
      "where recordings are fetched to; none: they stay with the carrier")                                       \
    X(STR, recording_spool, "RECORDING_SPOOL", "/tmp", "directory", "where files are on their way to and from s3://") \
    X(INT, recording_spool_mb, "RECORDING_SPOOL_MB", "4096", "1..16777216",                                      \
      "most that unfinished recordings may take; the oldest are removed first, those that are fetched just now never") \
    X(CHOICE, recording_channels, "RECORDING_CHANNELS", "caller-first", "caller-first|assistant-first",          \
      "who is on the first channel of a recording with two")                                                     \
    X(URL, twilio_api_url, "TWILIO_API_URL", "https://api.twilio.com", "https|http",                             \
      "recordings are fetched from addresses that begin like this, and from no others")                          \
    X(STR, twilio_account_sid, "TWILIO_ACCOUNT_SID", "", "text", "user for them: the account, or an API key's SID") \
    X(SECRET, twilio_auth_token, "TWILIO_AUTH_TOKEN", "", "text", "password for them; of a comma list the first") \
    X(URL, elevenlabs_url, "ELEVENLABS_URL", "https://api.elevenlabs.io", "https|http",                            \
      "the same for calls whose media ElevenLabs carries")                                                       \
    X(SECRET, elevenlabs_api_key, "ELEVENLABS_API_KEY", "", "text",                                              \
      "key for them; none: those recordings stay with ElevenLabs")                                               \
    X(URL, s3_endpoint, "S3_ENDPOINT", "", "https|http", "address of the S3 service; none: AWS's in the region")   \
    X(STR, s3_region, "S3_REGION", "us-east-1", "text", "region of the bucket")                                  \
    X(SECRET, s3_access_key, "S3_ACCESS_KEY", "", "text", "access key that may put and get objects")             \
    X(SECRET, s3_secret_key, "S3_SECRET_KEY", "", "text", "its secret")                                          \
    X(URL, transcription_url, "TRANSCRIPTION_URL", "", "https|http",                                             \
      "an OpenAI-compatible .../audio/transcriptions that writes down recordings of calls without a transcript; none: nobody does") \
    X(STR, transcription_model, "TRANSCRIPTION_MODEL", "gpt-transcribe", "text", "its model")                    \
    X(SECRET, transcription_key, "TRANSCRIPTION_KEY", "", "text", "its bearer key")                              \
    X(INT, transcription_wait_seconds, "TRANSCRIPTION_WAIT_SECONDS", "600", "0..604800",                         \
      "how long a recording waits for a transcript that is still on its way")                                    \
    X(INT, transcription_piece_seconds, "TRANSCRIPTION_PIECE_SECONDS", "1200", "5..7200",                        \
      "longest piece of a recording that is sent at once")                                                       \
    X(INT, after_call_hook, "AFTER_CALL_HOOK", "0", "0..1",                                                      \
      "1: a summary of each call is posted to after_call_url of its business' settings, else to the URL below")  \
    X(STR, after_call_url, "AFTER_CALL_URL", "", "https://...", "where businesses without an address of their own are told") \
    X(SECRET, after_call_secret, "AFTER_CALL_SECRET", "", "whsec_<base64>", "what that is signed with")           \
    X(INT, after_call_allow_private, "AFTER_CALL_ALLOW_PRIVATE", "0", "0..1",                                    \
      "1 lets summaries go to private addresses and to http://")

struct flusher_config {
    FLUSHER_CONFIG(CONFIG_MEMBER)
};
