/* What a caller hears whom nobody can serve, or not yet. */
#pragma once
#include "warmer/twiml.h"
#include "warmer/warmer.h"

/* A call to the fallback number if there is one, else the apology: the business' own if it is known
 * here (memo.h), else the fleet's. number: the business' one. Asks nobody. */
void sorry_document(struct warmer *w, const char *number, struct twiml *out);

/* The words alone, and hang up. */
void sorry_words(struct warmer *w, const char *number, struct twiml *out);

/* What callers of this number hear while they wait. Borrowed. */
const char *sorry_hold_text(struct warmer *w, const char *number);
