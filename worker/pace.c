#include "worker/pace.h"

/* How long a window is remembered, and that none counts for more than a quarter of it: what other programs on
 * the core do for a moment makes no loop pressed. */
enum { MEMORY_US = 400000, WEIGHT_MAX_US = MEMORY_US / 4 };

/* Frame by frame is tried where it may just do; after a try that failed, which is heard, not soon again. */
static bool is_spare(const struct pace *p, int64_t now_us)
{
    bool tries = now_us - p->pressed_us >= p->patience_us;
    return p->permille < 10 * (tries ? PACE_TRY_PERCENT : PACE_SPARE_PERCENT);
}

/* Frame by frame it falls behind, and does not catch up by itself as it does when only something stopped it. */
static bool is_pressed(const struct pace *p, int64_t now_us)
{
    bool tries = now_us - p->spared_us < PACE_TRIAL_US;
    return p->turn_us >= (tries ? PACE_TRIAL_LATE_US : PACE_LATE_US) && p->later >= PACE_LATER_WINDOWS;
}

static enum pace_level judge(const struct pace *p, int64_t now_us)
{
    switch (p->level) {
    case PACE_CALM:
        return p->reads >= PACE_BRISK_READS ? PACE_BRISK : PACE_CALM;
    case PACE_BRISK:
        if (is_pressed(p, now_us))
            return PACE_PRESSED;
        return p->reads < PACE_CALM_READS ? PACE_CALM : PACE_BRISK;
    case PACE_PRESSED:
        return is_spare(p, now_us) ? PACE_BRISK : PACE_PRESSED;
    }
    return p->level;
}

/* A try that failed is heard: the next one is longer in coming. */
static void became_pressed(struct pace *p, int64_t now_us)
{
    bool failed = now_us - p->spared_us < PACE_TRIAL_US;
    int64_t longer = 2 * p->patience_us < PACE_PATIENCE_MAX_US ? 2 * p->patience_us : PACE_PATIENCE_MAX_US;
    p->patience_us = failed ? longer : PACE_PATIENCE_US;
    p->pressed_us = now_us;
}

static void enter(struct pace *p, enum pace_level level, int64_t now_us)
{
    if (level == PACE_PRESSED && p->level != PACE_PRESSED)
        became_pressed(p, now_us);
    if (level != PACE_PRESSED && p->level == PACE_PRESSED)
        p->spared_us = now_us;
    if (level == PACE_CALM)
        p->permille = 0;
    p->level = level;
}

static void close_window(struct pace *p, int64_t now_us)
{
    int64_t length = now_us - p->window_us, worked = p->worked_us * 1000 / length, turn_us = p->worked_us / p->turns;
    int64_t weight = length < WEIGHT_MAX_US ? length : WEIGHT_MAX_US;
    bool behind = worked >= 10 * PACE_FULL_PERCENT && turn_us >= PACE_BEHIND_US;
    if (p->level != PACE_CALM)
        p->permille += (int)((worked - p->permille) * weight / MEMORY_US);
    p->later = behind && turn_us >= p->turn_us ? p->later + 1 : 0;
    p->turn_us = turn_us;
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
