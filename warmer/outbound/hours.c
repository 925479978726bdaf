#include "warmer/outbound/hours.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "common/base/foreign_json.h"
#include "warmer/local_time.h"

enum { DAY_MINUTES = 24 * 60, PIECES_MAX = 8 };

struct piece {
    int begin, end; /* minutes of the day */
};

/* Minutes of "HH:MM", or -1. */
static int minutes_of(const char *text)
{
    int hour, minute, read = 0;
    if (!text || sscanf(text, "%2d:%2d%n", &hour, &minute, &read) != 2 || read != 5 || text[5] || hour < 0 ||
        minute < 0 || minute > 59 || hour * 60 + minute > DAY_MINUTES)
        return -1;
    return hour * 60 + minute;
}

static bool piece_of(struct piece *out, const char *begin, const char *end)
{
    *out = (struct piece){minutes_of(begin), minutes_of(end)};
    return out->begin >= 0 && out->end > out->begin;
}

/* "08:00-21:00" */
static bool every_day(struct piece *out, const char *hours)
{
    char begin[6];
    if (strlen(hours) != 11 || hours[5] != '-')
        return false;
    memcpy(begin, hours, 5);
    begin[5] = '\0';
    return piece_of(out, begin, hours + 6);
}

static int pieces_of_day(const json_t *days, int weekday, struct piece out[PIECES_MAX])
{
    static const char *const names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
    const json_t *day = json_object_get(days, names[weekday]);
    int count = 0;
    for (size_t i = 0; i < json_array_size(day) && count < PIECES_MAX; i++) {
        const json_t *pair = json_array_get(day, i);
        if (!piece_of(&out[count], json_string_value(json_array_get(pair, 0)), json_string_value(json_array_get(pair, 1))))
            return -1;
        count++;
    }
    return count;
}

/* The moment at which that minute of a day comes; the C library knows about summer time. */
static int64_t moment(struct tm day, int minute)
{
    day.tm_hour = minute / 60;
    day.tm_min = minute % 60;
    day.tm_sec = 0;
    day.tm_isdst = -1;
    return mktime(&day);
}

static int64_t next_of(const struct piece *pieces, int count, const struct tm *day, int64_t now)
{
    int64_t best = -1;
    for (int i = 0; i < count; i++) {
        int64_t begin = moment(*day, pieces[i].begin), at = begin > now ? begin : now;
        if (moment(*day, pieces[i].end) > now && (best < 0 || at < best))
            best = at;
    }
    return best;
}

static int64_t search(const json_t *days, const struct piece *daily, int64_t now)
{
    time_t t = (time_t)now;
    struct tm today;
    localtime_r(&t, &today);
    for (int i = 0; i <= 7; i++) {
        struct piece pieces[PIECES_MAX] = {*daily};
        struct tm day = today;
        int count = 1;
        int64_t found;
        day.tm_mday += i;
        day.tm_hour = 12; /* exists on every day */
        day.tm_isdst = -1;
        mktime(&day);
        if (days)
            count = pieces_of_day(days, day.tm_wday, pieces);
        found = next_of(pieces, count, &day, now);
        if (found >= 0)
            return found;
    }
    return -1;
}

bool hours_good(const char *hours)
{
    return hours_next(hours, "UTC", 0) >= 0;
}

int64_t hours_next(const char *hours, const char *zone, int64_t now)
{
    struct piece daily = {0, 0};
    bool same = every_day(&daily, hours);
    json_t *days = same ? NULL : foreign_json_text(hours);
    int64_t next = -1;
    if ((same || json_is_object(days)) && local_time_zone(zone))
        next = search(days, &daily, now);
    json_decref(days);
    return next;
}
