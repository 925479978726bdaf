#include "worker/carrier/reorder.h"

#include <string.h>

/* Free places are those whose turn has passed: chunk below expected. */
static bool waits(const struct reorder *r, const struct reorder_piece *piece)
{
    return piece->chunk >= r->expected && piece->chunk != 0;
}

enum reorder_verdict reorder_take(struct reorder *r, uint64_t chunk, uint64_t timestamp_ms, const char *audio,
                                  size_t len)
{
    struct reorder_piece *room = NULL;
    if (r->expected == 0 || chunk == r->expected) {
        r->expected = chunk + 1;
        return REORDER_NOW;
    }
    if (chunk < r->expected || len > REORDER_AUDIO_MAX)
        return REORDER_DROPPED;
    for (int i = 0; i < REORDER_WAITING; i++) {
        if (!waits(r, &r->waiting[i]))
            room = &r->waiting[i];
        else if (r->waiting[i].chunk == chunk)
            return REORDER_DROPPED;
    }
    /* one place is always free: reorder_next gives up the gap when the last one is taken */
    if (!room)
        return REORDER_DROPPED;
    room->chunk = chunk;
    room->timestamp_ms = timestamp_ms;
    room->len = len;
    memcpy(room->audio, audio, len);
    r->count++;
    return REORDER_KEPT;
}

struct reorder_piece *reorder_next(struct reorder *r)
{
    struct reorder_piece *first = NULL;
    if (r->count == 0)
        return NULL;
    for (int i = 0; i < REORDER_WAITING; i++) {
        struct reorder_piece *piece = &r->waiting[i];
        if (waits(r, piece) && (!first || piece->chunk < first->chunk))
            first = piece;
    }
    if (!first || (first->chunk != r->expected && r->count < REORDER_WAITING))
        return NULL;
    r->expected = first->chunk + 1;
    r->count--;
    return first;
}
