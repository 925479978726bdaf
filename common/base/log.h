/* Structured logs: one JSON object a line on stderr.
 *
 *   log_info(call_sid, "barge-in", log_int("heard_ms", heard), log_int("sent_ms", sent));
 *   -> {"ts":"...Z","level":"info","program":"worker","call":"CA..","msg":"barge-in","heard_ms":..}
 *
 * Names and phone numbers go through log_name and log_phone, which mask them; secrets are never
 * passed here at all. Any thread may log. A line that cannot be written is counted (process.h), and
 * whether writing may wait is log_sink.h's business. A line longer than 4 KB is cut in its last field. What is
 * not UTF-8 is written as U+FFFD, a number that JSON does not have as null: a line is always JSON. */
#pragma once
#include "common/base/base.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARN, LOG_LEVEL_ERROR };

enum log_field_kind { LOG_FIELD_END, LOG_FIELD_STR, LOG_FIELD_INT, LOG_FIELD_REAL, LOG_FIELD_PHONE, LOG_FIELD_NAME };

struct log_field {
    enum log_field_kind kind;
    const char *key;
    const char *str;
    int64_t num;
    double real;
};

static inline struct log_field log_str(const char *key, const char *value)
{
    return (struct log_field){.kind = LOG_FIELD_STR, .key = key, .str = value ? value : ""};
}
static inline struct log_field log_int(const char *key, int64_t value)
{
    return (struct log_field){.kind = LOG_FIELD_INT, .key = key, .num = value};
}
static inline struct log_field log_real(const char *key, double value)
{
    return (struct log_field){.kind = LOG_FIELD_REAL, .key = key, .real = value};
}
/* "+14155550123" is written as "+141***23"; less than ten characters as "***". */
static inline struct log_field log_phone(const char *key, const char *value)
{
    return (struct log_field){.kind = LOG_FIELD_PHONE, .key = key, .str = value ? value : ""};
}
/* "Dana Levy" is written as "D***". */
static inline struct log_field log_name(const char *key, const char *value)
{
    return (struct log_field){.kind = LOG_FIELD_NAME, .key = key, .str = value ? value : ""};
}

/* Once, first thing in main; `program` must outlive the process's logging. */
void log_init(const char *program);

/* "debug", "info", "warn" or "error"; -1 if it is none of them. */
int log_set_level(const char *name);

bool log_on(enum log_level level);

/* Use the macros below. call may be NULL; fields ends with LOG_FIELD_END. */
void log_emit(enum log_level level, const char *call, const char *msg, const struct log_field *fields);

#define LOG_FIELDS_END ((struct log_field){.kind = LOG_FIELD_END})
#define LOG_AT(level, call, msg, ...)                                              \
    do {                                                                           \
        if (log_on(level))                                                         \
            log_emit((level), (call), (msg), (const struct log_field[]){__VA_ARGS__}); \
    } while (0)

/* log_xxx(call, msg, field...) */
#define log_debug(...) LOG_AT(LOG_LEVEL_DEBUG, __VA_ARGS__, LOG_FIELDS_END)
#define log_info(...) LOG_AT(LOG_LEVEL_INFO, __VA_ARGS__, LOG_FIELDS_END)
#define log_warn(...) LOG_AT(LOG_LEVEL_WARN, __VA_ARGS__, LOG_FIELDS_END)
#define log_error(...) LOG_AT(LOG_LEVEL_ERROR, __VA_ARGS__, LOG_FIELDS_END)

/* For places that can repeat: true at most once per second for one limit (zero it first; one
 * thread). When it says yes, `suppressed` holds how often it said no since the last yes. */
struct log_limit {
    int64_t _next_ms;
    int64_t _count;
    int64_t suppressed;
};
bool log_allow(struct log_limit *limit);
