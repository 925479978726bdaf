/* When people may be called. Pure, but for the zone data of the machine. */
#pragma once
#include "common/base/base.h"

/* The same hours every day, "08:00-21:00", or a JSON object by weekday as business_settings.working_hours has
 * it: {"mon": [["09:00", "12:00"], ["13:00", "18:00"]], ...}; a day that is not named is closed. */
bool hours_good(const char *hours);

/* now, if it lies within the hours of that time zone, else when they begin next (seconds since 1970); -1: never
 * within a week, or hours or zone are not understood. */
int64_t hours_next(const char *hours, const char *zone, int64_t now);
