/* Numbers that are none: of callers who do not show theirs. */
#pragma once
#include "common/base/base.h"

/* The number itself; "anonymous" for a withheld one. Carriers give a word for it, in any case ("Restricted"), nothing at
 * all, or what spells the word on a keypad, as if it were a number: +266696687. Taken for a number it would make all
 * these callers one person, who is greeted by the name that the last one gave. */
const char *withheld_or(const char *number);
