/* A call whose row open_call.sql could not write after all. */
#pragma once
#include "warmer/warmer.h"

/* Puts a call_open into the call's journal, once (rf_open does the same for a call that is opened without
 * the database). Nobody waits for it; a failure is counted and logged. */
void unrecorded_note(struct warmer *w, const char *call_sid, const char *from, const char *to, const char *direction,
                     int64_t started_ms);
