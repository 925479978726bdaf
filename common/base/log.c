/* Formats a line in a stack buffer and writes it with one write(2), so that lines of several
 * threads and processes on one pipe do not mix. A line that nobody takes is lost and counted; the next
 * one that is taken comes after a line that says how many were. */
#include "common/base/log.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <event2/event.h>

#include "common/base/clock.h"
#include "common/base/decimal.h"
#include "common/base/log_sink.h"
#include "common/base/process.h"
#include "common/base/utf8.h"

/* A text value is cut where the room for its closing quote and the line's end begins; fields after
 * that are left out. So a line that was cut is still JSON. */
enum { LINE_MAX_BYTES = LOG_LINE_MAX, LINE_TEXT_LIMIT = LINE_MAX_BYTES - 64, LINE_FIELD_LIMIT = LINE_MAX_BYTES - 256 };

/* A shorter number would be shown almost whole by its first four and last two digits. */
enum { PHONE_MASKABLE = 10 };

static const char *log_program = "ringfleet";
static enum log_level log_threshold = LOG_LEVEL_INFO;
static metric_value untold; /* lines lost that no line has told of yet */
static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
    char text[LINE_MAX_BYTES];
    size_t len;
};

/* What libevent has to say would go to stderr as it is. */
static void on_libevent(int severity, const char *text)
{
    if (severity == EVENT_LOG_ERR)
        log_error(NULL, "libevent", log_str("text", text));
    else if (severity == EVENT_LOG_WARN)
        log_warn(NULL, "libevent", log_str("text", text));
}

void log_init(const char *program)
{
    log_program = program;
    event_set_log_callback(on_libevent);
}

int log_set_level(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
        if (strcmp(name, level_names[i]) == 0) {
            log_threshold = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

bool log_on(enum log_level level)
{
    return level >= log_threshold;
}

static void put(struct line *l, const char *bytes, size_t len)
{
    if (len > sizeof l->text - l->len)
        return;
    memcpy(l->text + l->len, bytes, len);
    l->len += len;
}

static void put_str(struct line *l, const char *s)
{
    put(l, s, strlen(s));
}

/* How much of the text goes into a line as it is. */
static size_t plain_length(const char *s, size_t max)
{
    size_t len = 0;
    while (len < max && s[len] >= 0x20 && s[len] < 0x7f && s[len] != '"' && s[len] != '\\')
        len++;
    return len;
}

static void put_escaped(struct line *l, const char *s)
{
    while (*s && l->len < LINE_TEXT_LIMIT) {
        size_t plain = plain_length(s, LINE_TEXT_LIMIT - l->len);
        put(l, s, plain);
        s += plain;
        if (!*s || l->len >= LINE_TEXT_LIMIT)
            return;
        unsigned char c = (unsigned char)*s;
        size_t len = utf8_length(s);
        char esc[8];
        if (c == '"' || c == '\\')
            put(l, (char[]){'\\', (char)c}, 2);
        else if (c < 0x20)
            put(l, esc, (size_t)snprintf(esc, sizeof esc, "\\u%04x", c));
        else if (len == 0)
            put_str(l, "\\ufffd");
        else
            put(l, s, len);
        s += len ? len : 1;
    }
}

static void put_string_field(struct line *l, const char *key, const char *value)
{
    put_str(l, "\"");
    put_str(l, key);
    put_str(l, "\":\"");
    put_escaped(l, value);
    put_str(l, "\"");
}

static void put_phone(struct line *l, const struct log_field *f)
{
    char masked[16];
    size_t len = strlen(f->str);
    if (len < PHONE_MASKABLE)
        strcpy(masked, "***");
    else
        stpcpy(stpcpy(mempcpy(masked, f->str, 4), "***"), f->str + len - 2);
    put_string_field(l, f->key, masked);
}

/* The first character (whole, if it is UTF-8) tells two callers apart and gives nobody away. */
static void put_name(struct line *l, const struct log_field *f)
{
    char masked[16];
    size_t len = utf8_length(f->str);
    strcpy(mempcpy(masked, f->str, strnlen(f->str, len ? len : 1)), "***");
    put_string_field(l, f->key, masked);
}

static void put_field(struct line *l, const struct log_field *f)
{
    char number[64];
    if (l->len > LINE_FIELD_LIMIT)
        return;
    put_str(l, ",");
    switch (f->kind) {
    case LOG_FIELD_STR:
        put_string_field(l, f->key, f->str);
        return;
    case LOG_FIELD_PHONE:
        put_phone(l, f);
        return;
    case LOG_FIELD_NAME:
        put_name(l, f);
        return;
    case LOG_FIELD_INT:
        decimal_put(stpcpy(number, "\":"), f->num);
        break;
    case LOG_FIELD_REAL:
        if (isfinite(f->real))
            snprintf(number, sizeof number, "\":%.6g", f->real);
        else
            strcpy(number, "\":null");
        break;
    case LOG_FIELD_END:
        return;
    }
    put_str(l, "\"");
    put_str(l, f->key);
    put_str(l, number);
}

/* Made once a second and thread. */
static const char *text_of_second(int64_t second)
{
    static _Thread_local struct {
        int64_t second;
        char text[64];
    } last = {.second = -1};
    time_t t = (time_t)second;
    struct tm tm;
    if (second != last.second) {
        gmtime_r(&t, &tm);
        strftime(last.text, sizeof last.text, "{\"ts\":\"%Y-%m-%dT%H:%M:%S.", &tm);
        last.second = second;
    }
    return last.text;
}

static void put_head(struct line *l, enum log_level level)
{
    int64_t now = clock_wall_ms();
    char ms[DECIMAL_SIZE];
    decimal_put(ms, 1000 + now % 1000);
    put_str(l, text_of_second(now / 1000));
    put_str(l, ms + 1);
    put_str(l, "Z\",\"level\":\"");
    put_str(l, level_names[level]);
    put_str(l, "\",");
    put_string_field(l, "program", log_program);
}

static bool put_line(enum log_level level, const char *call, const char *msg, const struct log_field *fields)
{
    struct line l;
    l.len = 0;
    put_head(&l, level);
    if (call && *call) {
        put_str(&l, ",");
        put_string_field(&l, "call", call);
    }
    put_str(&l, ",");
    put_string_field(&l, "msg", msg);
    for (; fields->kind != LOG_FIELD_END; fields++)
        put_field(&l, fields);
    memcpy(l.text + l.len, "}\n", 2);
    l.len += 2;
    return log_sink_write(l.text, l.len);
}

static bool tell_of_lost(void)
{
    uint64_t lost = metric_get(&untold) > 0 ? atomic_exchange(&untold, 0) : 0;
    struct log_field fields[] = {log_int("lines", (int64_t)lost), LOG_FIELDS_END};
    if (lost == 0 || put_line(LOG_LEVEL_WARN, NULL, "log lines lost: nobody took them", fields))
        return true;
    atomic_fetch_add(&untold, lost);
    return false;
}

void log_emit(enum log_level level, const char *call, const char *msg, const struct log_field *fields)
{
    if (tell_of_lost() && put_line(level, call, msg, fields))
        return;
    process_count(&untold);
    process_count(&process_metrics.log_lines_lost);
}

bool log_allow(struct log_limit *limit)
{
    int64_t now = clock_mono_ms();
    if (now < limit->_next_ms) {
        limit->_count++;
        return false;
    }
    limit->_next_ms = now + 1000;
    limit->suppressed = limit->_count;
    limit->_count = 0;
    return true;
}
