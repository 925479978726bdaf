/* A stamp inside the audio, and how long things took. */
#pragma once
#include "common/base/base.h"

enum {
    FRAME_BYTES = 160, /* 20 ms of mu-law */
    FRAME_CHARS = 216, /* as base64 */
    STAMP_CHARS = 16,  /* the first of them; 12 bytes */
};

#define NO_STAMP UINT32_MAX /* what silence reads as */

struct stamp {
    int64_t ns; /* wall clock */
    uint32_t n; /* number of the frame, or NO_STAMP */
};

/* Writes STAMP_CHARS of base64, without a NUL. */
void stamp_put(char *base64, struct stamp stamp);
struct stamp stamp_take(const char *base64);

/* Calls fn with each frame's stamp in base64 of any length, and puts what it leaves there back: frames that
 * were joined, or cut, on their way count one by one. *place: of the next byte in its frame, 0 at first.
 * Returns the bytes of audio, or -1: not base64. */
ptrdiff_t stamp_each(char *base64, size_t len, size_t *place, void (*fn)(void *arg, struct stamp *stamp), void *arg);

/* How often each time was seen, to 10 us. */
enum { SPREAD_STEP_US = 10, SPREAD_STEPS = 50000 };

struct spread {
    uint64_t count;
    int64_t max_us;
    uint32_t steps[SPREAD_STEPS];
};

void spread_add(struct spread *s, int64_t us);
int64_t spread_at(const struct spread *s, double share); /* us; share 0.99 for p99 */
