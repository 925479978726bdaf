#include "worker/call/tail.h"

#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t room_of(const struct tail *t)
{
    return (size_t)t->_blocks * TAIL_LEAD_BYTES;
}

/* Where the byte `at` (counted from the oldest) lies, and in *run how many follow it there, len at most. */
static uint8_t *place_of(const struct tail *t, size_t at, size_t len, size_t *run)
{
    size_t place = (t->_start + at) % room_of(t);
    *run = least(len, TAIL_LEAD_BYTES - place % TAIL_LEAD_BYTES);
    return t->_block[place / TAIL_LEAD_BYTES] + place % TAIL_LEAD_BYTES;
}

static void copy_out(const struct tail *t, size_t at, uint8_t *out, size_t len)
{
    for (size_t done = 0, run; done < len; done += run) {
        const uint8_t *from = place_of(t, at + done, len - done, &run);
        memcpy(out + done, from, run);
    }
}

/* Its last bytes, no more than one block, from the start of the first block on; the others go. */
static void keep_one(struct tail *t)
{
    uint8_t last[TAIL_LEAD_BYTES];
    size_t kept = least(t->_len, sizeof last);
    copy_out(t, t->_len - kept, last, kept);
    memcpy(t->_block[0], last, kept);
    while (t->_blocks > 1)
        free(t->_block[--t->_blocks]);
    t->_start = 0;
    t->_len = (uint32_t)kept;
}

/* A block behind the last one: nothing may lie around the end, where it comes. */
static bool grow(struct tail *t)
{
    if (t->_start != 0)
        keep_one(t);
    t->_block[t->_blocks] = malloc(TAIL_LEAD_BYTES);
    if (!t->_block[t->_blocks])
        return false; /* what there is has to do, for now */
    t->_blocks++;
    return true;
}

/* Grows with what is needed, and shrinks to what may be. It has begun to go around the end only when it
 * is as large as it may be, or is the lead. */
static void fit(struct tail *t, size_t more, bool needed)
{
    size_t most = needed ? TAIL_BLOCKS_MAX : 1;
    if (t->_blocks > most)
        keep_one(t);
    while (t->_blocks < most && (t->_blocks == 0 || t->_len + more > room_of(t))) {
        if (!grow(t))
            break;
    }
}

static void append(struct tail *t, const uint8_t *audio, size_t len)
{
    size_t room = room_of(t), over = t->_len + len > room ? t->_len + len - room : 0;
    t->_start = (uint32_t)((t->_start + over) % room);
    t->_len -= (uint32_t)over;
    for (size_t done = 0, run; done < len; done += run) {
        uint8_t *to = place_of(t, t->_len + done, len - done, &run);
        memcpy(to, audio + done, run);
    }
    t->_len += (uint32_t)len;
}

size_t tail_keep(struct tail *t, const uint8_t *audio, size_t len, bool needed)
{
    size_t unheard = needed ? t->unheard + len : t->unheard, fits;
    fit(t, len, needed);
    fits = least(len, room_of(t));
    if (fits > 0)
        append(t, audio + len - fits, fits);
    t->unheard = (uint32_t)least(unheard, t->_len);
    return unheard - t->unheard;
}

void tail_unheard_all(struct tail *t)
{
    t->unheard = t->_len;
}

size_t tail_copy(const struct tail *t, size_t back, uint8_t *out, size_t size)
{
    size_t len = least(back, size);
    copy_out(t, t->_len - back, out, len);
    return len;
}

void tail_release(struct tail *t)
{
    while (t->_blocks > 0)
        free(t->_block[--t->_blocks]);
    *t = (struct tail){0};
}
