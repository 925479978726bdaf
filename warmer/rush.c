#include "warmer/rush.h"

#include <sched.h>

static bool change_policy(int from, int to)
{
    return sched_getscheduler(0) == from && sched_setscheduler(0, to, &(struct sched_param){0}) == 0;
}

void rush_note(struct rush *rush, size_t opening)
{
    if (!rush->on && opening >= RUSH_BEGINS)
        rush->on = change_policy(SCHED_OTHER, SCHED_BATCH);
    else if (rush->on && opening <= RUSH_ENDS)
        rush->on = !change_policy(SCHED_BATCH, SCHED_OTHER);
}
