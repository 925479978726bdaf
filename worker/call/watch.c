#include "worker/call/watch.h"

void watch_start(struct watch *w, int64_t now_ms)
{
    *w = (struct watch){.started_ms = now_ms, .line_ms = now_ms};
}

void watch_line(struct watch *w, int64_t now_ms)
{
    w->line_ms = now_ms;
}

void watch_sound(struct watch *w, bool sound, int64_t now_ms)
{
    if (sound)
        w->quiet_ms = 0;
    else if (w->quiet_ms == 0)
        w->quiet_ms = now_ms;
}

void watch_caller(struct watch *w)
{
    w->nudged = false;
}

static bool past(int64_t since_ms, int64_t limit_ms, int64_t now_ms)
{
    return limit_ms > 0 && now_ms - since_ms >= limit_ms;
}

static enum watch_advice look_at_silence(struct watch *w, const struct watch_limits *limits, int64_t now_ms)
{
    if (w->quiet_ms == 0)
        return WATCH_NOTHING;
    if (w->nudged)
        return past(w->quiet_ms, limits->give_up_ms, now_ms) ? WATCH_GIVE_UP : WATCH_NOTHING;
    if (!past(w->quiet_ms, limits->nudge_ms, now_ms))
        return WATCH_NOTHING;
    w->nudged = true;
    w->quiet_ms = now_ms; /* the question may fail to be spoken: the caller still gets the time to answer */
    return WATCH_NUDGE;
}

static void forgive_sleep(struct watch *w, int64_t now_ms)
{
    int64_t slept = w->looked_ms ? now_ms - w->looked_ms - WATCH_EVERY_MS : 0;
    if (slept > 0)
        w->line_ms = w->line_ms + slept < now_ms ? w->line_ms + slept : now_ms;
    w->looked_ms = now_ms;
}

static int64_t warn_before_ms(int64_t call_ms)
{
    return call_ms / 10 < WATCH_WARN_BEFORE_MS ? call_ms / 10 : WATCH_WARN_BEFORE_MS;
}

enum watch_advice watch_look(struct watch *w, const struct watch_limits *limits, int64_t now_ms)
{
    forgive_sleep(w, now_ms);
    if (past(w->line_ms, WATCH_DEAD_LINE_MS, now_ms))
        return WATCH_DEAD_LINE;
    if (past(w->started_ms, limits->call_ms, now_ms))
        return WATCH_LIMIT;
    if (!w->warned && past(w->started_ms, limits->call_ms - warn_before_ms(limits->call_ms), now_ms)) {
        w->warned = true;
        return WATCH_WARN;
    }
    return look_at_silence(w, limits, now_ms);
}
