/* The name a person is called by, out of the full name that a database has. Pure, UTF-8. */
#pragma once
#include "common/base/base.h"

enum { NAME_SIZE = 64 };

/* Writes the first name, or "" when the text holds none that is safe to say aloud: empty, an
 * initial, a number, a placeholder such as "unknown", a title with a family name.
 *
 * Knows honorifics in front and behind, "Levy, Dana", double first names ("Mary Ann Smith",
 * "Jean-Luc"), names that need their second word ("Abdul Rahman"), and the family-first order of
 * Chinese, Japanese, Korean and Vietnamese. A guess where the text alone cannot tell: a lead's own
 * first_name column always comes before it. */
void name_first(char out[NAME_SIZE], const char *full);
