/* What the clock on a business' wall says, in words for a prompt. */
#pragma once
#include "common/base/base.h"

enum { LOCAL_TIME_SIZE = 64 };

/* "Friday, 20 November 2026, 14:51" at `now` (seconds since 1970) in an IANA zone, by the machine's own
 * time zone data. false: there is no such zone. One thread: it sets the process' TZ. */
RF_NODISCARD bool local_time(char out[LOCAL_TIME_SIZE], const char *zone, int64_t now);

/* Makes an IANA zone the process' own, for localtime_r and mktime; it stays: the next call is often of the same
 * business, and libc reads its file once. false: there is no such zone. */
RF_NODISCARD bool local_time_zone(const char *zone);
