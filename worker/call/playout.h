/* How much of the assistant's speech has the caller heard?
 *
 * The AI speaks faster than real time, so most of what was sent waits in the carrier's queue. Marks
 * tell when a place was reached; between marks the clock tells, because a carrier plays at 8 bytes
 * a millisecond, and when it has nothing left, from the next piece on. Marks carry a generation: `clear` makes the carrier echo all of them at once, and
 * those echoes must not count as heard. Pure: time and sends are told, marks are answered. */
#pragma once
#include "worker/ai/ai.h"

enum {
    PLAYOUT_BYTES_PER_MS = 8,  /* mu-law, 8000 Hz */
    PLAYOUT_ITEMS = 8,         /* spoken items not yet fully heard; more are merged into the last */
    PLAYOUT_FEW = 2,           /* of these, what a call has room for; more is found when it is needed */
    PLAYOUT_MARK_FIRST_MS = 500, /* of audio before the first mark, which tells how late the carrier began */
    PLAYOUT_MARK_MOST_MS = 2000, /* between two: as many as before, up to this. A mark costs a message each way */
    PLAYOUT_MARK_SIZE = 32,
    PLAYOUT_NOT_THE_AIS = -1, /* content_index of audio the AI session did not make: it cannot cut it */
};

struct playout_item {
    char id[AI_ID_SIZE];
    int content_index;
    uint64_t start, end; /* bytes in the stream of this generation */
    bool complete;       /* no more audio will come */
};

/* Zero it, and leave it where it is. */
struct playout {
    uint32_t generation;
    uint64_t sent;       /* bytes sent in this generation */
    uint64_t heard;      /* bytes known to be played */
    uint64_t marked;     /* byte position of the last mark */
    uint64_t began;      /* byte position at which the queue was last known to be empty */
    uint64_t place;      /* byte position that was reached, or began to play, at place_ms: what the clock goes on from */
    int64_t place_ms;
    struct playout_item *items; /* oldest first */
    int item_count, _room;
    struct playout_item _few[PLAYOUT_FEW];
};

/* Audio of an item goes out now. When out of memory it counts as the last item's. */
void playout_sent(struct playout *p, const char *item, int content_index, size_t bytes, int64_t now_ms);

/* No more audio will come for the items that are there. */
void playout_complete(struct playout *p);

/* Whether a mark should follow; at_end: nothing more is coming for now. Writes its name. */
bool playout_wants_mark(struct playout *p, bool at_end, char name[PLAYOUT_MARK_SIZE]);

/* The carrier echoed a mark. false: it was of an older generation, or none of ours. */
bool playout_marked(struct playout *p, const char *name, int64_t now_ms);

/* Everything sent has been heard (and confirmed). */
bool playout_idle(const struct playout *p);

/* How much of item i the caller has heard by now, in ms, and how long it is. */
int64_t playout_item_heard_ms(const struct playout *p, int i, int64_t now_ms);
int64_t playout_item_sent_ms(const struct playout *p, int i);

/* Takes out an item that is complete and was heard to its end, oldest first; false if there is none. */
bool playout_finished(struct playout *p, struct playout_item *out);

/* The carrier's queue was cleared: a new generation with nothing in it. */
void playout_clear(struct playout *p);

void playout_release(struct playout *p);
