/* Puts the caller's audio back into its order, for carriers that do not keep it (Telnyx: "media frame
 * order is not guaranteed"). What arrives in order, which is nearly all, passes through untouched
 * and uncopied; what came too early waits until the gap before it is filled, or until so much waits
 * that the missing piece is given up. Pure. */
#pragma once
#include "common/base/base.h"

enum {
    REORDER_WAITING = 4,       /* pieces that may wait: 80 ms of frames, what a caller's turn may be late by */
    REORDER_AUDIO_MAX = 4096,  /* base64 characters of a piece that can wait (384 ms) */
};

enum reorder_verdict {
    REORDER_NOW,     /* it is the next: use it as it is, then ask reorder_next */
    REORDER_KEPT,    /* copied, for later; reorder_next may have some now */
    REORDER_DROPPED, /* its place has passed, or it is there twice, or it is too long to wait */
};

struct reorder_piece {
    uint64_t chunk, timestamp_ms;
    size_t len;
    char audio[REORDER_AUDIO_MAX];
};

/* Zero it. */
struct reorder {
    uint64_t expected; /* 0: whatever comes first */
    int count;
    struct reorder_piece waiting[REORDER_WAITING];
};

/* chunk counts pieces from the stream's start, in steps of one. */
enum reorder_verdict reorder_take(struct reorder *r, uint64_t chunk, uint64_t timestamp_ms, const char *audio,
                                  size_t len);

/* The next piece whose turn has come, oldest first; NULL if there is none. Valid until the next
 * reorder_take; may be scribbled on. */
struct reorder_piece *reorder_next(struct reorder *r);
