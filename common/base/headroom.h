/* Memory for the work that is under way. Not every library lives through being refused some in the middle of it, so new
 * work is refused first.
 *
 * A reserve is held from the start: room that is promised to this process, of which no page is used. Ten times a second
 * it is asked for a little more. If that is not to be had the reserve is given back, for what is under way, and nothing
 * new is taken until there is room for both again. That is for limits that refuse memory (ulimit -v, strict
 * overcommit); one that kills (a container's) asks nobody. */
#pragma once
#include "common/base/base.h"

struct event_base;
struct headroom;

/* Once in a process, which counts its shortages (process.h). NULL, with a log line, when there is no room at all. */
RF_NODISCARD struct headroom *headroom_new(struct event_base *base);
void headroom_free(struct headroom *headroom);

/* false: memory is short, take nothing new. Any thread. */
bool headroom_left(void);
