/* How much somebody may send: so much at once, and so much a second in the long run. Pure. */
#pragma once
#include "common/base/base.h"

/* Zero it: it begins with the whole burst. */
struct bucket {
    int64_t _used_milli; /* thousandths of a unit, taken and not yet forgiven */
    int64_t _at_ms;
};

/* Takes units; false: more than per_second and burst allow. */
static inline bool bucket_take(struct bucket *b, int64_t units, int64_t per_second, int64_t burst, int64_t now_ms)
{
    int64_t forgiven = b->_at_ms ? (now_ms - b->_at_ms) * per_second : 0;
    b->_at_ms = now_ms;
    b->_used_milli = (b->_used_milli > forgiven ? b->_used_milli - forgiven : 0) + units * 1000;
    return b->_used_milli <= burst * 1000;
}
