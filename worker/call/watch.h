/* The clocks of a conversation: silence, a dead line, and the longest a call may last. Wall time and
 * not audio counts, because a dead stream brings no audio to count. Pure: time is told. */
#pragma once
#include "common/base/base.h"

enum watch_advice {
    WATCH_NOTHING,
    WATCH_NUDGE,      /* nobody has spoken for long: ask whether the caller is there; once per silence */
    WATCH_GIVE_UP,    /* still nobody: say goodbye and hang up */
    WATCH_WARN,       /* the call will reach its limit soon; once */
    WATCH_LIMIT,      /* it has */
    WATCH_DEAD_LINE,  /* the carrier sends nothing any more: the socket is dead */
};

enum {
    WATCH_EVERY_MS = 1000,     /* watch_look is asked */
    WATCH_DEAD_LINE_MS = 3000, /* a carrier sends a frame every 20 ms, through silence too */
    WATCH_WARN_BEFORE_MS = 60000, /* the limit, or a tenth of the limit if that is less */
};

/* All in ms; 0 switches a limit off. */
struct watch_limits {
    int64_t nudge_ms, give_up_ms, call_ms;
};

struct watch {
    int64_t started_ms;
    int64_t line_ms;  /* last frame from the carrier */
    int64_t quiet_ms; /* since when nobody speaks; 0: somebody does */
    int64_t looked_ms; /* watch_look's last time; 0: never */
    bool nudged, warned;
};

void watch_start(struct watch *w, int64_t now_ms);

/* A frame came. */
void watch_line(struct watch *w, int64_t now_ms);

/* Whether anybody speaks (or is about to: an answer is being made). */
void watch_sound(struct watch *w, bool sound, int64_t now_ms);

/* The caller did something: the next silence may be asked about again. */
void watch_caller(struct watch *w);

/* What to do now; asked about once a second. If it was not, the process slept, and the frames of that time are still
 * to be read: it does not count against the line. */
enum watch_advice watch_look(struct watch *w, const struct watch_limits *limits, int64_t now_ms);
