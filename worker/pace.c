#include "worker/pace.h"

/* How long a window is remembered, and that none counts for more than a quarter of it: what other programs on
 * the core do for a moment makes no loop pressed. */
enum { MEMORY_US = 400000, WEIGHT_MAX_US = MEMORY_US / 4 };

/* Frame by frame is tried where it may just do, and seldom: a try that fails is heard. */
static bool is_spare(const struct pace *p, int64_t now_us)
{
    bool tries = p->spared_us == 0 || now_us - p->spared_us >= PACE_TRY_US;
    return p->permille < 10 * (tries ? PACE_TRY_PERCENT : PACE_SPARE_PERCENT);
}

static enum pace_level judge(const struct pace *p, int64_t now_us)
{
    switch (p->level) {
    case PACE_CALM:
        return p->reads >= PACE_BRISK_READS ? PACE_BRISK : PACE_CALM;
    case PACE_BRISK:
        if (p->permille >= 10 * PACE_PRESSED_PERCENT && p->turn_us >= PACE_LONG_US)
            return PACE_PRESSED;
        return p->reads < PACE_CALM_READS ? PACE_CALM : PACE_BRISK;
    case PACE_PRESSED:
        return is_spare(p, now_us) ? PACE_BRISK : PACE_PRESSED;
    }
    return p->level;
}

static void enter(struct pace *p, enum pace_level level, int64_t now_us)
{
    if (p->level == PACE_PRESSED && level == PACE_BRISK)
        p->spared_us = now_us;
    if (level == PACE_CALM)
        p->permille = p->turn_us = 0;
    p->level = level;
}

static void close_window(struct pace *p, int64_t now_us)
{
    int64_t length = now_us - p->window_us, worked = p->worked_us * 1000 / length;
    int64_t weight = length < WEIGHT_MAX_US ? length : WEIGHT_MAX_US;
    if (p->level != PACE_CALM) {
        p->permille += (int)((worked - p->permille) * weight / MEMORY_US);
        p->turn_us += (int)((p->worked_us / p->turns - p->turn_us) * weight / MEMORY_US);
    }
    enter(p, judge(p, now_us), now_us);
    p->window_us = now_us;
    p->worked_us = 0;
    p->reads = p->turns = 0;
}

bool pace_waits(const struct pace *p)
{
    return p->level == PACE_CALM || p->idle || (p->hurry && p->level == PACE_BRISK);
}

int64_t pace_turn_over(struct pace *p, unsigned reads, bool hurry, int64_t began_us, int64_t now_us)
{
    bool waited = pace_waits(p);
    p->reads += reads;
    p->turns++;
    p->worked_us += now_us - began_us;
    if (now_us - p->window_us >= PACE_WINDOW_US)
        close_window(p, now_us);
    p->idle = reads == 0;
    p->hurry = hurry;
    if (pace_waits(p))
        return 0;
    p->step_us = waited ? now_us + PACE_STEP_US : p->step_us + PACE_STEP_US;
    if (p->step_us >= now_us + PACE_NAP_US)
        return p->step_us - now_us;
    p->step_us = now_us; /* due, or late: steps that were missed are not made up for */
    return 0;
}
