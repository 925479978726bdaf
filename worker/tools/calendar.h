/* A business's calendar as a call knows it: working hours in the business's time zone, and the times
 * that are taken. Computes, and does no I/O, except that the rules of a time zone are read from the
 * system's tzdata: a local file of 3 KB, when a calendar is made.
 *
 * The rules come from GLib: libc can only do it through the environment variable TZ of the whole
 * process, which several event loops cannot share. */
#pragma once
#include "common/base/base.h"

enum {
    CALENDAR_TIME_SIZE = 32,
    CALENDAR_STEP_SECONDS = 1800, /* free times are offered every half hour, counted from opening */
    CALENDAR_WITHIN_MAX = 31 * 86400,
};

/* [from, to), Unix seconds. */
struct span {
    int64_t from, to;
};

bool spans_overlap(struct span a, struct span b);

/* 2026-11-24T10:00:00+02:00 or ...Z to Unix seconds; an offset is required. */
bool iso_time_parse(const char *text, int64_t *seconds);

/* As 2026-11-24T08:00:00Z. */
void iso_time_format(char out[CALENDAR_TIME_SIZE], int64_t seconds);

struct calendar;

/* zone: a name of tzdata, "" for UTC. working_hours: JSON {"mon": [["09:00", "12:30"], ...], ...}; days
 * that are missing are closed, an end at or before its start is on the next day; "" or {} means any
 * time. booked: JSON [{"start": iso, "end": iso}, ...]; "": none.
 *
 * NULL, and *why (static text), when one of them cannot be understood. */
RF_NODISCARD struct calendar *calendar_new(const char *zone, const char *working_hours, const char *booked,
                                           const char **why);
void calendar_free(struct calendar *cal);

/* The day of a date such as 2026-11-24 there: 23, 24 or 25 hours. false if it is no date. */
bool calendar_day(const struct calendar *cal, const char *date, struct span *day);

/* Whether all of it lies in one stretch of working hours (those that touch are one). */
bool calendar_open(const struct calendar *cal, struct span time);

bool calendar_taken(const struct calendar *cal, struct span time);

/* Starts of times of this length that are open and not taken, in order, at most max of them. What lies
 * more than CALENDAR_WITHIN_MAX after the beginning is left out. */
size_t calendar_free_starts(const struct calendar *cal, struct span within, int64_t length_s, int64_t *starts,
                            size_t max);

/* In the business's time, as 2026-11-24T10:00:00+02:00. */
void calendar_format(const struct calendar *cal, char out[CALENDAR_TIME_SIZE], int64_t seconds);
