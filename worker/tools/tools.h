/* The built-in tools the AI may call: what it is told about them, and its arguments checked. Pure;
 * carrying them out is the call's business (call_tools.c). */
#pragma once
#include <jansson.h>

#include "worker/tools/calendar.h"

enum tool {
    TOOL_SET_CUSTOMER_NAME,
    TOOL_UPDATE_CUSTOMER,
    TOOL_CHECK_AVAILABILITY,
    TOOL_BOOK_APPOINTMENT,
    TOOL_TAKE_MESSAGE,
    TOOL_TRANSFER_CALL,
    TOOL_END_CALL,
    TOOL_NONE
};

enum { TOOL_TEXT_SIZE = 256, TOOL_LONG_SIZE = 2048, TOOL_DATE_SIZE = 16 };

/* Texts that were not given are ""; longer ones are cut at a character. */
struct tool_request {
    enum tool tool;
    char name[TOOL_TEXT_SIZE];       /* SET_CUSTOMER_NAME */
    char email[TOOL_TEXT_SIZE];      /* UPDATE_CUSTOMER */
    char notes[TOOL_LONG_SIZE];      /* UPDATE_CUSTOMER, BOOK_APPOINTMENT */
    char date[TOOL_DATE_SIZE];       /* CHECK_AVAILABILITY: a day of the business's calendar, or "": time */
    struct span time;                /* CHECK_AVAILABILITY: where to look; BOOK_APPOINTMENT: what to book */
    int64_t length_s;                /* CHECK_AVAILABILITY, BOOK_APPOINTMENT */
    char title[TOOL_TEXT_SIZE];      /* BOOK_APPOINTMENT */
    char message[TOOL_LONG_SIZE];    /* TAKE_MESSAGE */
    char callback[TOOL_TEXT_SIZE];   /* TAKE_MESSAGE */
    char to[TOOL_TEXT_SIZE];         /* TRANSFER_CALL */
    char reason[TOOL_TEXT_SIZE];     /* TRANSFER_CALL, END_CALL */
};

/* The "tools" array of a session. places: an array of the names a call may be transferred to (empty:
 * there is one place, without a name), or NULL: transfers are not offered. New reference; NULL when
 * out of memory. */
json_t *tools_describe(const json_t *places);

/* TOOL_NONE if the name is of no built-in tool. */
enum tool tool_named(const char *name);

/* NULL and *out filled, or a sentence for the AI that says what to do differently. arguments may be
 * cut off or nonsense: the model's response may have been cancelled. */
const char *tool_parse(const char *name, const char *arguments, struct tool_request *out);
