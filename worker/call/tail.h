/* The caller's last audio: what no AI session has understood yet, for the one that comes if the present
 * one is lost, and of a caller who is silent the lead, because turn detection tells late that words
 * began. A ring over blocks, all of one size: those that a caller gives back who was understood are
 * what the next one who speaks takes, and no holes are left between calls. Pure. */
#pragma once
#include "common/base/base.h"

enum {
    TAIL_LEAD_BYTES = 4000, /* half a second of mu-law; a block */
    TAIL_BLOCKS_MAX = 10,
    TAIL_BYTES_MAX = TAIL_BLOCKS_MAX * TAIL_LEAD_BYTES, /* audio the AI may not have: the last 5 s */
};

/* Zero it. */
struct tail {
    uint8_t *_block[TAIL_BLOCKS_MAX];
    uint32_t _blocks, _start, _len;
    uint32_t unheard; /* its last bytes: what no session has understood yet */
};

/* Audio goes behind what is there. needed: nobody may have heard it, so it counts as unheard and there
 * is room for TAIL_BYTES_MAX; else what is kept shrinks to the lead. Returns how many bytes that were
 * unheard were let go, for lack of room or of memory. */
size_t tail_keep(struct tail *t, const uint8_t *audio, size_t len, bool needed);

/* All that is there counts as unheard: the caller has begun to speak. */
void tail_unheard_all(struct tail *t);

/* Copies from `back` bytes (at most `unheard`) before the end on, at most size bytes; how many. */
size_t tail_copy(const struct tail *t, size_t back, uint8_t *out, size_t size);

void tail_release(struct tail *t);
