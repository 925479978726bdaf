/* Where a call may be transferred to, from the fields of its context: transfer_number, and
 * transfer_numbers, a JSON object of name and number. Pure. */
#pragma once
#include <jansson.h>

#include "common/base/base.h"

enum { TRANSFER_NUMBER_SIZE = 17 }; /* + and the 15 digits of E.164 */

/* The names the AI may choose from, an array; empty if there is only transfer_number. NULL if a call
 * can be transferred nowhere. New reference. */
json_t *transfer_places(const char *number, const char *numbers_json);

/* Finds the number of a name, or of a number, that the context allows. to "" (or anything, where there
 * is nothing to choose from) means transfer_number, or the only other one. Spaces and dashes in
 * numbers do not count. */
bool transfer_pick(const char *number, const char *numbers_json, const char *to, char out[TRANSFER_NUMBER_SIZE]);
