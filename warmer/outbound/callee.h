/* What POST /calls says, understood. Pure. */
#pragma once
#include <jansson.h>

#include "common/redis/keys.h"

enum {
    CALLEES_MAX = 200,
    CALLEE_BYTES = 10 * 1024, /* a whole one, with its context */
    CALL_REQUEST_MAX = CALLEES_MAX * CALLEE_BYTES,
};

/* The request but for its callees. Texts are borrowed from the body. */
struct call_request {
    const char *business; /* id or number */
    char business_id[24]; /* where business points, if it came as a number */
    const char *agent;    /* NULL: the usual one */
    int64_t schedule_ms;  /* since 1970; 0: now */
    bool past;            /* schedule_ms is: too late for a new request, not for one that came in time and comes again */
    bool refuse_outside_hours;
    const json_t *callees;
};

/* NULL, or what is wrong and what would be right. */
const char *call_request_read(struct call_request *out, const json_t *body, int64_t now_ms);

struct callee {
    const char *driver_id, *lead_id, *to, *purpose; /* NULL: not given */
    char driver_number[24], lead_number[24]; /* where they point, if they came as numbers */
    char *context; /* owned: JSON; NULL: not given */
};

/* The same; release in any case. Not to be moved. */
const char *callee_read(struct callee *out, const json_t *given);
void callee_release(struct callee *callee);

/* EL_{driver_id}_{ISO 8601 in UTC}, of a stamp of nanoseconds since 1970; a callee without a driver is known by its
 * lead, else as UNKNOWN. */
void callee_call_sid(char out[CALL_SID_SIZE], const struct callee *callee, int64_t stamp_ns);

/* "2026-11-26T09:00:00Z", also with an offset as +02:00 or a fraction. ms since 1970; -1: it is none. */
int64_t iso_time_ms(const char *text);
/* To the second. */
enum { ISO_TIME_SIZE = 24 };
void iso_time(char out[ISO_TIME_SIZE], int64_t ms);
