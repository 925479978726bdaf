#include "worker/tail.h"

#include <stdlib.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* The bytes from `at` on, of those that are there, oldest first. */
static void copy_out(const struct tail *t, size_t at, uint8_t *out, size_t len)
{
    size_t from, first;
    if (len == 0)
        return;
    from = (t->_start + at) % t->_room;
    first = least(len, t->_room - from);
    memcpy(out, t->_ring + from, first);
    memcpy(out + first, t->_ring, len - first);
}

/* What does not fit in the new room is let go, oldest first. */
static void resize(struct tail *t, size_t room)
{
    size_t kept = least(t->_len, room);
    uint8_t *ring = malloc(room);
    if (!ring)
        return; /* the old one does, for now */
    copy_out(t, t->_len - kept, ring, kept);
    free(t->_ring);
    t->_ring = ring;
    t->_room = (uint32_t)room;
    t->_start = 0;
    t->_len = (uint32_t)kept;
}

/* Grows with what is needed, and shrinks to what may be. */
static void fit(struct tail *t, size_t more, bool needed)
{
    size_t most = needed ? TAIL_BYTES_MAX : TAIL_LEAD_BYTES, room = t->_room;
    if (room < TAIL_LEAD_BYTES || room > most)
        room = TAIL_LEAD_BYTES;
    while (room < most && room < t->_len + more)
        room = least(room * 2, most);
    if (room != t->_room)
        resize(t, room);
}

static void append(struct tail *t, const uint8_t *audio, size_t len)
{
    size_t over = t->_len + len > t->_room ? t->_len + len - t->_room : 0, at, first;
    t->_start = (uint32_t)((t->_start + over) % t->_room);
    t->_len -= (uint32_t)over;
    at = (t->_start + t->_len) % t->_room;
    first = least(len, t->_room - at);
    memcpy(t->_ring + at, audio, first);
    memcpy(t->_ring, audio + first, len - first);
    t->_len += (uint32_t)len;
}

size_t tail_keep(struct tail *t, const uint8_t *audio, size_t len, bool needed)
{
    size_t unheard = needed ? t->unheard + len : t->unheard, fits;
    fit(t, len, needed);
    fits = least(len, t->_room);
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
    free(t->_ring);
    *t = (struct tail){0};
}
