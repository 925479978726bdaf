/* How a loop comes round: at once for whatever there is, or at short steps, so that a busy one is not woken
 * for every frame. Being woken costs a core more than handling a frame does.
 *
 * Pure: times and what a turn handled are told. All times are monotonic. */
#pragma once
#include "common/base/base.h"

enum pace_level {
    PACE_CALM,    /* waits for the next socket, and serves it at once */
    PACE_BRISK,   /* several sockets have something in every step: it looks once a step, while there is something */
    PACE_PRESSED, /* it falls behind: callers' audio is taken two frames at a time */
};

enum {
    PACE_STEP_US = 500,        /* what a message may wait for in a loop that is brisk */
    PACE_NAP_US = 100,         /* a sleep that is shorter spares less than falling asleep and waking up cost */
    PACE_WINDOW_US = 50000,    /* what is judged at once */
    PACE_BRISK_READS = 400,    /* sockets read in a window: four in a step. From there on it is brisk */
    PACE_CALM_READS = 200,     /* below it is calm again */
    PACE_LATE_US = 6000,       /* a turn is as long as what it finds has waited: so late it is pressed, */
    PACE_BEHIND_US = 2000,     /* if it has been behind, without a pause, */
    PACE_FULL_PERCENT = 95,
    PACE_LATER_WINDOWS = 3,    /* and ever later, for so long: what only stopped it for a moment it makes good by itself */
    PACE_SPARE_PERCENT = 42,   /* of the time: below it is not any more, frame by frame it will have twice the work and more */
    PACE_TRY_PERCENT = 50,     /* below it may not be any more: frame by frame will have half as much to do again. That is tried */
    PACE_TRIAL_US = 3000000,   /* and has failed if it is pressed again within that time, for which */
    PACE_TRIAL_LATE_US = 4000, /* so late is enough */
    PACE_PATIENCE_US = 1000000,      /* from being pressed to the first try; it doubles with each that fails */
    PACE_PATIENCE_MAX_US = 16000000,
};

/* Zero it. */
struct pace {
    enum pace_level level;
    int64_t window_us; /* when the one at hand began */
    int64_t step_us;   /* when the one at hand was due */
    int64_t worked_us; /* in this window */
    unsigned reads;    /* in this window */
    unsigned turns;    /* in this window */
    bool idle;         /* the last step found nothing */
    bool hurry;        /* somebody waits for an answer on another socket than a caller's */
    int permille;      /* worked, of the last windows' time */
    int64_t turn_us;   /* what a turn took in the last window */
    int later;         /* windows in a row in which it was behind, each time by more */
    int64_t pressed_us, spared_us; /* when it became so last, and when it was over; 0: never */
    int64_t patience_us;
};

/* Whether the next turn waits in the kernel until there is something, or only looks. */
bool pace_waits(const struct pace *p);

/* A turn is over that began to work at began_us and read so many sockets. hurry: a call that begins waits for
 * Redis; of steps it would wait for several. Returns for how long to sleep before the next turn; 0: not at all. */
int64_t pace_turn_over(struct pace *p, unsigned reads, bool hurry, int64_t began_us, int64_t now_us);
