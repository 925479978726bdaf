#include "warmer/outbound/callee.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "warmer/twiml.h"

enum { ID_MAX = 64, PURPOSE_MAX = 1000, CONTEXT_MAX = 8192, SCHEDULE_DAYS_MAX = 90, PAST_MS = 60000 };

static const int64_t day_ms = 24 * 60 * 60 * 1000;

int64_t iso_time_ms(const char *text)
{
    struct tm tm = {0};
    int read = 0, zone_hour = 0, zone_minute = 0;
    char sign = 0;
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec, &read) != 6 || read != 19 || tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 ||
        tm.tm_mday > 31 || tm.tm_hour < 0 || tm.tm_hour > 23 || tm.tm_min < 0 || tm.tm_min > 59 || tm.tm_sec < 0 ||
        tm.tm_sec > 60)
        return -1;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    text += read;
    if (*text == '.')
        text += 1 + strspn(text + 1, "0123456789");
    if (strcmp(text, "Z") != 0) {
        read = 0;
        if (sscanf(text, "%c%2d:%2d%n", &sign, &zone_hour, &zone_minute, &read) != 3 || read != 6 || text[6] ||
            (sign != '+' && sign != '-'))
            return -1;
    }
    return ((int64_t)timegm(&tm) - (sign == '-' ? -1 : 1) * (zone_hour * 3600 + zone_minute * 60)) * 1000;
}

void iso_time(char out[ISO_TIME_SIZE], int64_t ms)
{
    time_t t = (time_t)(ms / 1000);
    struct tm tm;
    strftime(out, ISO_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

/* A text or a whole number, as text. false: it is neither, or too long. */
static bool read_id(const char **out, char number[24], const json_t *given)
{
    *out = NULL;
    if (!given || json_is_null(given))
        return true;
    if (json_is_integer(given)) {
        snprintf(number, 24, "%lld", (long long)json_integer_value(given));
        *out = number;
        return true;
    }
    *out = json_string_value(given);
    return *out && **out && strlen(*out) <= ID_MAX;
}

static bool read_text(const char **out, const json_t *given, size_t max)
{
    *out = json_string_value(given);
    return !given || json_is_null(given) || (*out && strlen(*out) <= max);
}

static const char *read_schedule(struct call_request *out, const json_t *given, int64_t now_ms)
{
    out->schedule_ms = 0;
    if (!given || json_is_null(given))
        return NULL;
    out->schedule_ms = json_is_string(given) ? iso_time_ms(json_string_value(given)) : -1;
    if (out->schedule_ms < 0)
        return "schedule_at is no time such as 2026-11-26T09:00:00Z";
    out->past = out->schedule_ms < now_ms - PAST_MS;
    return out->schedule_ms > now_ms + SCHEDULE_DAYS_MAX * day_ms ? "schedule_at is more than 90 days away" : NULL;
}

const char *call_request_read(struct call_request *out, const json_t *body, int64_t now_ms)
{
    const char *quiet, *wrong;
    memset(out, 0, sizeof *out);
    if (!json_is_object(body))
        return "the body is no JSON object";
    if (!read_id(&out->business, out->business_id, json_object_get(body, "business")) || !out->business)
        return "business is missing: give its id or its phone number";
    if (!read_text(&out->agent, json_object_get(body, "agent"), ID_MAX))
        return "agent is no name of an agent; leave it out for the business' usual one";
    if (!read_text(&quiet, json_object_get(body, "outside_hours"), ID_MAX) ||
        (quiet && strcmp(quiet, "wait") != 0 && strcmp(quiet, "refuse") != 0))
        return "outside_hours is neither \"wait\" (until people may be called again) nor \"refuse\"";
    wrong = read_schedule(out, json_object_get(body, "schedule_at"), now_ms);
    if (wrong)
        return wrong;
    out->refuse_outside_hours = quiet && strcmp(quiet, "refuse") == 0;
    out->callees = json_object_get(body, "callees");
    if (!json_is_array(out->callees) || json_array_size(out->callees) == 0)
        return "callees is missing: a list of objects with to or lead_id, and driver_id if there is one";
    return json_array_size(out->callees) > CALLEES_MAX ? "more than 200 callees; send several requests" : NULL;
}

static const char *read_context(struct callee *out, const json_t *given)
{
    if (!given || json_is_null(given))
        return NULL;
    if (!json_is_object(given))
        return "context is no object";
    out->context = json_dumps(given, JSON_COMPACT);
    return !out->context || strlen(out->context) > CONTEXT_MAX ? "context is larger than 8 KB" : NULL;
}

const char *callee_read(struct callee *out, const json_t *given)
{
    memset(out, 0, sizeof *out);
    if (!json_is_object(given))
        return "the callee is no object";
    if (!read_id(&out->driver_id, out->driver_number, json_object_get(given, "driver_id")) ||
        (out->driver_id && !call_sid_valid(out->driver_id)))
        return "driver_id is not 1 to 64 letters, digits and _.:+-";
    if (!read_id(&out->lead_id, out->lead_number, json_object_get(given, "lead_id")))
        return "lead_id is neither a number nor a text";
    if (out->lead_id && !call_sid_valid(out->lead_id))
        return "lead_id is not 1 to 64 letters, digits and _.:+-";
    if (!read_text(&out->to, json_object_get(given, "to"), ID_MAX) ||
        (out->to && (*out->to != '+' || strlen(out->to) < 6 || !twiml_number_good(out->to))))
        return "to is no number in the form +14155550123";
    if (!out->to && !out->lead_id)
        return "neither to (a number) nor lead_id is given";
    if (!read_text(&out->purpose, json_object_get(given, "purpose"), PURPOSE_MAX))
        return "purpose is no text of at most 1000 bytes";
    return read_context(out, json_object_get(given, "context"));
}

void callee_release(struct callee *callee)
{
    free(callee->context);
    callee->context = NULL;
}

void callee_call_sid(char out[CALL_SID_SIZE], const struct callee *callee, int64_t stamp_ns)
{
    const char *who = callee->driver_id ? callee->driver_id : callee->lead_id ? callee->lead_id : "UNKNOWN";
    time_t t = (time_t)(stamp_ns / 1000000000);
    char when[32];
    struct tm tm;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&t, &tm));
    snprintf(out, CALL_SID_SIZE, "EL_%.64s_%s.%09lldZ", who, when, (long long)(stamp_ns % 1000000000));
}
