#include "worker/call/playout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void use_few(struct playout *p)
{
    if (p->items != p->_few)
        free(p->items);
    p->items = p->_few;
    p->_room = PLAYOUT_FEW;
}

static bool make_room(struct playout *p)
{
    struct playout_item *all;
    if (p->item_count < p->_room)
        return true;
    if (!p->items) {
        use_few(p);
        return true;
    }
    all = p->_room < PLAYOUT_ITEMS ? malloc(PLAYOUT_ITEMS * sizeof *all) : NULL;
    if (!all)
        return false;
    memcpy(all, p->items, (size_t)p->item_count * sizeof *all);
    p->items = all;
    p->_room = PLAYOUT_ITEMS;
    return true;
}

static struct playout_item *item_for(struct playout *p, const char *id, int content_index)
{
    struct playout_item *last = p->item_count ? &p->items[p->item_count - 1] : NULL;
    if ((last && strcmp(last->id, id) == 0) || !make_room(p))
        return last;
    last = &p->items[p->item_count++];
    snprintf(last->id, sizeof last->id, "%s", id);
    last->content_index = content_index;
    last->start = last->end = p->sent;
    last->complete = false;
    return last;
}

/* Bytes heard by the clock, never past what was sent. */
static uint64_t reached(const struct playout *p, int64_t now_ms)
{
    int64_t elapsed = now_ms - p->place_ms;
    uint64_t at = p->place + (elapsed > 0 ? (uint64_t)elapsed * PLAYOUT_BYTES_PER_MS : 0);
    return at < p->sent ? at : p->sent;
}

static void set_clock(struct playout *p, uint64_t place, int64_t now_ms)
{
    p->place = place;
    p->place_ms = now_ms;
}

void playout_sent(struct playout *p, const char *item, int content_index, size_t bytes, int64_t now_ms)
{
    struct playout_item *it = item_for(p, item, content_index);
    if (playout_idle(p))
        p->began = p->sent;
    if (playout_idle(p) || reached(p, now_ms) == p->sent)
        set_clock(p, p->sent, now_ms); /* the queue was empty: it plays from now on */
    p->sent += bytes;
    it->end = p->sent;
}

void playout_complete(struct playout *p)
{
    for (int i = 0; i < p->item_count; i++)
        p->items[i].complete = true;
}

/* The clock is right as long as the carrier plays without a pause, which the marks so far make likely. */
static uint64_t until_next_mark(const struct playout *p)
{
    uint64_t played_ms = (p->marked - p->began) / PLAYOUT_BYTES_PER_MS;
    if (played_ms < PLAYOUT_MARK_FIRST_MS)
        played_ms = PLAYOUT_MARK_FIRST_MS;
    return (played_ms < PLAYOUT_MARK_MOST_MS ? played_ms : PLAYOUT_MARK_MOST_MS) * PLAYOUT_BYTES_PER_MS;
}

bool playout_wants_mark(struct playout *p, bool at_end, char name[PLAYOUT_MARK_SIZE])
{
    uint64_t unmarked = p->sent - p->marked;
    if (unmarked == 0 || (!at_end && unmarked < until_next_mark(p)))
        return false;
    p->marked = p->sent;
    snprintf(name, PLAYOUT_MARK_SIZE, "%" PRIu32 ".%" PRIu64, p->generation, p->sent);
    return true;
}

bool playout_marked(struct playout *p, const char *name, int64_t now_ms)
{
    uint32_t generation;
    uint64_t position;
    if (sscanf(name, "%" SCNu32 ".%" SCNu64, &generation, &position) != 2 || generation != p->generation ||
        position > p->marked || position <= p->heard)
        return false;
    p->heard = position;
    set_clock(p, position, now_ms);
    return true;
}

bool playout_idle(const struct playout *p)
{
    return p->heard == p->sent;
}

int64_t playout_item_heard_ms(const struct playout *p, int i, int64_t now_ms)
{
    uint64_t at = reached(p, now_ms);
    const struct playout_item *it = &p->items[i];
    if (at <= it->start)
        return 0;
    return (int64_t)(((at < it->end ? at : it->end) - it->start) / PLAYOUT_BYTES_PER_MS);
}

int64_t playout_item_sent_ms(const struct playout *p, int i)
{
    return (int64_t)((p->items[i].end - p->items[i].start) / PLAYOUT_BYTES_PER_MS);
}

bool playout_finished(struct playout *p, struct playout_item *out)
{
    if (p->item_count == 0 || !p->items[0].complete || p->items[0].end > p->heard)
        return false;
    *out = p->items[0];
    p->item_count--;
    memmove(p->items, p->items + 1, (size_t)p->item_count * sizeof *p->items);
    if (p->item_count == 0)
        use_few(p);
    return true;
}

void playout_clear(struct playout *p)
{
    uint32_t next = p->generation + 1;
    playout_release(p);
    p->generation = next;
}

void playout_release(struct playout *p)
{
    use_few(p);
    memset(p, 0, sizeof *p);
}
