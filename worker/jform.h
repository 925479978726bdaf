/* Messages that a peer writes always alike: the same members, in the same order, nothing between them. Audio comes
 * so, and then a few comparisons tell what jscan needs a walk over every member for. Whatever matches a form is good
 * JSON, and jscan finds the same in it; whatever does not may still be a good message: jscan reads it. */
#pragma once
#include "worker/jscan.h"

/* The text before a value, or behind the last one. A value whose text ends with a quote is a string, written without
 * escapes; any other is a whole number. */
struct jform_text {
    const char *text;
    size_t len;
};

#define JFORM_TEXT(text) {text, sizeof text - 1}

/* Matches the whole text and takes the values, one less than there are texts. false: it is of another form; then
 * what values hold means nothing. */
bool jform_take(const struct jform_text *form, size_t texts, const char *text, size_t len, struct jscan_value *values);
