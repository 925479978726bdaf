/* The tools the AI may call: what it is told about them, and its arguments checked. Pure; carrying
 * them out is the call's business (call_tools.c). */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

enum tool { TOOL_SET_CUSTOMER_NAME, TOOL_BOOK_APPOINTMENT, TOOL_END_CALL, TOOL_NONE };

enum { TOOL_TEXT_SIZE = 256, TOOL_TIME_SIZE = 24 };

struct tool_request {
    enum tool tool;
    char name[TOOL_TEXT_SIZE];            /* SET_CUSTOMER_NAME */
    int64_t starts_s, ends_s;             /* BOOK_APPOINTMENT: Unix seconds */
    char starts_at[TOOL_TIME_SIZE];       /* the same as 2026-11-24T10:00:00Z */
    char ends_at[TOOL_TIME_SIZE];
    char title[TOOL_TEXT_SIZE], notes[TOOL_TEXT_SIZE];
    char reason[TOOL_TEXT_SIZE];          /* END_CALL */
};

/* The "tools" array of a session. New reference. */
json_t *tools_describe(void);

/* NULL and *out filled, or a sentence for the AI that says what to do differently. arguments may be
 * cut off or nonsense: the model's response may have been cancelled. */
const char *tool_parse(const char *name, const char *arguments, struct tool_request *out);

/* 2026-11-24T10:00:00+02:00 or ...Z to Unix seconds; an offset is required. */
bool iso_time_parse(const char *text, int64_t *seconds);
void iso_time_format(char out[TOOL_TIME_SIZE], int64_t seconds);

/* Whether [starts, ends) overlaps one of the slots of a JSON array [{"start": iso, "end": iso}].
 * Entries that cannot be read are skipped. */
bool slots_overlap(const char *slots_json, int64_t starts_s, int64_t ends_s);
