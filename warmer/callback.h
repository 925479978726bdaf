/* What a callback says, for the call's journal: an entry in its events, deduplicated by the carrier's own
 * ids. The callback is confirmed (204) once Redis has it; else 503, and the carrier's retry is the way
 * back from an outage. */
#pragma once
#include "common/redis/journal.h"
#include "warmer/server.h"

struct callback {
    enum journal_type type;
    const char *id;                          /* by which a callback that comes again is known */
    const char *values[JOURNAL_FIELDS_MAX];  /* in the order of journal.h; NULL: not given */
    const char *status, *sequence;           /* of a call_status; otherwise "" */
};

/* Answers the request, now or later. Texts are borrowed for the call. */
void callback_record(struct request *r, const struct callback *callback);

bool callback_is_number(const char *text);
