#include "worker/tools/calendar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <glib.h>
#include <jansson.h>

#include "common/base/foreign_json.h"

enum {
    DAY = 86400,
    PERIODS_MAX = 6, /* of one day */
    OPEN_MAX = (CALENDAR_WITHIN_MAX / DAY + 4) * PERIODS_MAX,
};

static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

struct day {
    int count;
    struct span minutes[PERIODS_MAX]; /* since midnight, by the clock on the wall; may pass 1440 */
};

struct calendar {
    GTimeZone *zone;
    bool always; /* no working hours */
    struct day days[7];
    size_t taken_count;
    struct span taken[];
};

bool spans_overlap(struct span a, struct span b)
{
    return a.from < b.to && b.from < a.to;
}

/* ---- times as text ---- */

/* strptime takes February 31st; the calendar does not have it. */
static bool utc_seconds(struct tm *tm, int64_t *seconds)
{
    int day = tm->tm_mday;
    *seconds = (int64_t)timegm(tm);
    return tm->tm_mday == day;
}

bool iso_time_parse(const char *text, int64_t *seconds)
{
    struct tm tm = {0};
    int hours = 0, minutes = 0, used = 0;
    char sign[2] = "+";
    const char *rest = strptime(text, "%Y-%m-%dT%H:%M", &tm);
    if (!rest)
        return false;
    if (*rest == ':' && !(rest = strptime(rest, ":%S", &tm)))
        return false;
    if (*rest == '.')
        rest += 1 + strspn(rest + 1, "0123456789");
    if (strcmp(rest, "Z") != 0) {
        if (sscanf(rest, "%1[+-]%2d:%2d%n", sign, &hours, &minutes, &used) != 3 || rest[used] || hours > 14 ||
            minutes > 59)
            return false;
    }
    if (!utc_seconds(&tm, seconds))
        return false;
    *seconds -= (*sign == '-' ? -1 : 1) * (hours * 3600 + minutes * 60);
    return true;
}

void iso_time_format(char out[CALENDAR_TIME_SIZE], int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    strftime(out, CALENDAR_TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
}

/* ---- the time zone ---- */

static GTimeZone *zone_open(const char *name)
{
    bool fits = name[strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/")] == '\0';
    return fits && *name != '/' ? g_time_zone_new_identifier(*name ? name : "UTC") : NULL;
}

/* Seconds east of Greenwich. */
static int64_t offset_at(const struct calendar *cal, int64_t utc)
{
    return g_time_zone_get_offset(cal->zone, g_time_zone_find_interval(cal->zone, G_TIME_TYPE_UNIVERSAL, utc));
}

/* local: a clock on the wall, in seconds as if it were UTC. An hour that comes twice means the first
 * one; one that is skipped means as long after the change. */
static int64_t to_utc(const struct calendar *cal, int64_t local)
{
    int64_t before = offset_at(cal, local - DAY), after = offset_at(cal, local + DAY);
    if (offset_at(cal, local - before) != before && offset_at(cal, local - after) == after)
        return local - after;
    return local - before;
}

static int64_t local_day(const struct calendar *cal, int64_t utc)
{
    int64_t local = utc + offset_at(cal, utc);
    return (local - (local % DAY + DAY) % DAY) / DAY;
}

/* ---- reading the context ---- */

static bool clock_parse(const json_t *text, int64_t *minutes)
{
    int h = 0, m = 0, used = 0;
    const char *s = json_string_value(text);
    if (!s || sscanf(s, "%2d:%2d%n", &h, &m, &used) != 2 || s[used] || h < 0 || m < 0 || m > 59 || h * 60 + m > 1440)
        return false;
    *minutes = h * 60 + m;
    return true;
}

static void insert_by_start(struct day *day, struct span period)
{
    int at = day->count++;
    for (; at > 0 && day->minutes[at - 1].from > period.from; at--)
        day->minutes[at] = day->minutes[at - 1];
    day->minutes[at] = period;
}

static bool take_day(struct day *day, const json_t *periods)
{
    const json_t *period;
    size_t i;
    if (!json_is_array(periods) || json_array_size(periods) > PERIODS_MAX)
        return false;
    json_array_foreach(periods, i, period) {
        struct span minutes;
        if (json_array_size(period) != 2 || !clock_parse(json_array_get(period, 0), &minutes.from) ||
            !clock_parse(json_array_get(period, 1), &minutes.to))
            return false;
        if (minutes.to <= minutes.from)
            minutes.to += 1440;
        insert_by_start(day, minutes);
    }
    return true;
}

static int weekday_named(const char *name)
{
    for (int i = 0; i < (int)ARRAY_LEN(day_names); i++) {
        if (strcmp(day_names[i], name) == 0)
            return i;
    }
    return -1;
}

static bool take_hours(struct calendar *cal, const char *text)
{
    json_t *hours = *text ? foreign_json_text(text) : json_object(), *periods;
    const char *name;
    bool good = json_is_object(hours);
    cal->always = json_object_size(hours) == 0;
    json_object_foreach(hours, name, periods) {
        int weekday = weekday_named(name);
        good = good && weekday >= 0 && take_day(&cal->days[weekday], periods);
    }
    json_decref(hours);
    return good;
}

/* A time that is not understood would seem to be free. */
static bool take_booked(struct calendar *cal, const json_t *booked)
{
    const json_t *slot;
    size_t i;
    json_array_foreach(booked, i, slot) {
        const char *start = json_string_value(json_object_get(slot, "start"));
        const char *end = json_string_value(json_object_get(slot, "end"));
        struct span *taken = &cal->taken[cal->taken_count];
        if (!start || !end || !iso_time_parse(start, &taken->from) || !iso_time_parse(end, &taken->to))
            return false;
        cal->taken_count++;
    }
    return json_is_array(booked);
}

struct calendar *calendar_new(const char *zone, const char *working_hours, const char *booked, const char **why)
{
    json_t *slots = foreign_json_text(booked);
    struct calendar *cal = calloc(1, sizeof *cal + json_array_size(slots) * sizeof cal->taken[0]);
    *why = NULL;
    if (!cal) {
        *why = "out of memory";
    } else if (!(cal->zone = zone_open(zone))) {
        *why = "the time zone is not known on this machine";
    } else if (!take_hours(cal, working_hours)) {
        *why = "working_hours is not {\"mon\": [[\"09:00\", \"18:00\"]], ...}";
    } else if (*booked && !take_booked(cal, slots)) {
        *why = "booked_slots is not [{\"start\", \"end\"}, ...] with times such as 2026-11-24T10:00:00+02:00";
    }
    json_decref(slots);
    if (*why) {
        calendar_free(cal);
        return NULL;
    }
    return cal;
}

void calendar_free(struct calendar *cal)
{
    if (!cal)
        return;
    if (cal->zone)
        g_time_zone_unref(cal->zone);
    free(cal);
}

/* ---- asking ---- */

bool calendar_day(const struct calendar *cal, const char *date, struct span *day)
{
    struct tm tm = {0};
    const char *rest = strptime(date, "%Y-%m-%d", &tm);
    int64_t local;
    if (!rest || *rest || !utc_seconds(&tm, &local))
        return false;
    *day = (struct span){to_utc(cal, local), to_utc(cal, local + DAY)};
    return true;
}

/* The stretches of working hours that touch `within`, in order, joined where they meet. */
static size_t open_spans(const struct calendar *cal, struct span within, struct span out[OPEN_MAX])
{
    int64_t last = local_day(cal, within.to);
    size_t count = 0;
    for (int64_t day = local_day(cal, within.from) - 1; day <= last; day++) {
        const struct day *hours = &cal->days[(day % 7 + 11) % 7]; /* 1970 began on a Thursday */
        for (int i = 0; i < hours->count; i++) {
            struct span open = {to_utc(cal, day * DAY + hours->minutes[i].from * 60),
                                to_utc(cal, day * DAY + hours->minutes[i].to * 60)};
            if (count > 0 && open.from <= out[count - 1].to)
                out[count - 1].to = open.to > out[count - 1].to ? open.to : out[count - 1].to;
            else
                out[count++] = open;
        }
    }
    return count;
}

/* A time longer than a day can be open too, where the doors never close. */
bool calendar_open(const struct calendar *cal, struct span time)
{
    struct span open[OPEN_MAX];
    size_t count;
    if (cal->always)
        return true;
    if (time.to - time.from > CALENDAR_WITHIN_MAX)
        return false;
    count = open_spans(cal, time, open);
    for (size_t i = 0; i < count; i++) {
        if (open[i].from <= time.from && time.to <= open[i].to)
            return true;
    }
    return false;
}

bool calendar_taken(const struct calendar *cal, struct span time)
{
    for (size_t i = 0; i < cal->taken_count; i++) {
        if (spans_overlap(cal->taken[i], time))
            return true;
    }
    return false;
}

/* The first of opening + n steps that is not before `earliest`. */
static int64_t first_step(int64_t opening, int64_t earliest)
{
    int64_t steps = (earliest - opening + CALENDAR_STEP_SECONDS - 1) / CALENDAR_STEP_SECONDS;
    return earliest <= opening ? opening : opening + steps * CALENDAR_STEP_SECONDS;
}

size_t calendar_free_starts(const struct calendar *cal, struct span within, int64_t length_s, int64_t *starts,
                            size_t max)
{
    struct span open[OPEN_MAX];
    size_t found = 0, count = 1;
    if (within.to - within.from > CALENDAR_WITHIN_MAX)
        within.to = within.from + CALENDAR_WITHIN_MAX;
    if (cal->always)
        open[0] = (struct span){to_utc(cal, local_day(cal, within.from) * DAY), within.to};
    else
        count = open_spans(cal, within, open);
    for (size_t i = 0; i < count; i++) {
        int64_t end = open[i].to < within.to ? open[i].to : within.to;
        for (int64_t at = first_step(open[i].from, within.from); at + length_s <= end; at += CALENDAR_STEP_SECONDS) {
            if (calendar_taken(cal, (struct span){at, at + length_s}))
                continue;
            if (found == max)
                return found;
            starts[found++] = at;
        }
    }
    return found;
}

void calendar_format(const struct calendar *cal, char out[CALENDAR_TIME_SIZE], int64_t seconds)
{
    int64_t offset = offset_at(cal, seconds);
    time_t local = (time_t)(seconds + offset);
    struct tm tm;
    size_t len = strftime(out, CALENDAR_TIME_SIZE, "%Y-%m-%dT%H:%M:%S", gmtime_r(&local, &tm));
    int minutes = (int)(offset < 0 ? -offset : offset) / 60;
    snprintf(out + len, CALENDAR_TIME_SIZE - len, "%c%02d:%02d", offset < 0 ? '-' : '+', minutes / 60 % 100, minutes % 60);
}
