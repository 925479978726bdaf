/* The turns of a call, as far as they were heard, on their way to its journal. */
#pragma once
#include "worker/call/call.h"

/* The turn of an item, opened if it has none. Past the bound of what may be open the oldest is journalled as it is. */
struct turn *call_turns_open(struct call *c, bool caller, const char *item);

/* Journals the turns that are complete; all of them (as far as they were heard) when the call is
 * over. */
void call_turns_journal(struct call *c, bool all);

/* What still plays is over: of each turn stays what was heard. tell_ai: its memory is cut too. */
void call_turns_cut(struct call *c, bool tell_ai);

/* Words run ahead of their sound. When no more is coming, those that never got one were not said. */
void call_turns_drop_unsaid(struct call *c);

/* Turns heard to their end are complete, and journalled. */
void call_turns_finish_heard(struct call *c);

/* The caller said something that is not written down yet. */
bool call_turns_words_to_come(const struct call *c);
