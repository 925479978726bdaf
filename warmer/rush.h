/* How the kernel shares the processors with us, by how many calls are being opened.
 *
 * With few, a caller's answer is what counts: each event wakes the loop at once, ahead of whoever runs. With many, that
 * makes a turn of the loop of every event, and on busy processors a switch between processes of every turn. In a rush we
 * are scheduled as a batch job: woken, we interrupt nobody, and find more to do in each turn. It takes no privilege; where
 * it is forbidden, or the operator has chosen another policy, nothing changes.
 *
 * One thread: the loop's, whose policy it is. */
#pragma once
#include "common/base/base.h"

enum {
    RUSH_BEGINS = 8, /* calls being opened */
    RUSH_ENDS = 2,
};

struct rush {
    bool on;
};

void rush_note(struct rush *rush, size_t opening);
