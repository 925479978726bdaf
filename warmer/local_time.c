#include "warmer/local_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { ZONE_MAX = 64 };

/* A name of the database, and no path out of it. */
static bool zone_is_known(const char *zone)
{
    const char *dir = getenv("TZDIR");
    char path[512];
    struct stat file;
    size_t len = strspn(zone, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/");
    if (strcmp(zone, "UTC") == 0) /* needs no data */
        return true;
    if (len == 0 || len > ZONE_MAX || zone[len] || *zone == '/')
        return false;
    snprintf(path, sizeof path, "%s/%s", dir && *dir ? dir : "/usr/share/zoneinfo", zone);
    return stat(path, &file) == 0 && S_ISREG(file.st_mode);
}

bool local_time_zone(const char *zone)
{
    static char current[ZONE_MAX + 1];
    if (*current && strcmp(zone, current) == 0)
        return true;
    if (!zone_is_known(zone) || setenv("TZ", zone, 1) != 0)
        return false;
    tzset();
    strcpy(current, zone);
    return true;
}

static bool write_time(char out[LOCAL_TIME_SIZE], const char *zone, int64_t now)
{
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    time_t t = (time_t)now;
    struct tm tm;
    if (!local_time_zone(zone) || !localtime_r(&t, &tm))
        return false;
    snprintf(out, LOCAL_TIME_SIZE, "%s, %d %s %d, %02d:%02d", days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon],
             tm.tm_year + 1900, tm.tm_hour, tm.tm_min);
    return true;
}

/* A business that is called much is called much within a minute. */
bool local_time(char out[LOCAL_TIME_SIZE], const char *zone, int64_t now)
{
    static struct {
        char zone[ZONE_MAX + 1], text[LOCAL_TIME_SIZE];
        int64_t minute;
    } last;
    if (now / 60 != last.minute || strcmp(zone, last.zone) != 0) {
        *last.zone = '\0';
        if (!write_time(last.text, zone, now))
            return false;
        strcpy(last.zone, zone);
        last.minute = now / 60;
    }
    strcpy(out, last.text);
    return true;
}
