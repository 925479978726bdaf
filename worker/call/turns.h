/* The turns of a conversation on their way to the journal.
 *
 * Transcripts float: the caller's words often arrive after the assistant has begun to answer them.
 * Turns are opened in the order they were spoken and leave in that order, each once its words are
 * known. Pure: time is told. */
#pragma once
#include "worker/ai/ai.h"

enum {
    TURNS_MAX = 8,        /* open turns; past that the oldest leaves as it is */
    TURNS_FEW = 2,        /* of these, what a call has room for; more is found when it is needed */
    TURN_WAIT_MS = 3000,  /* how long missing words of the caller, or a provider's word on what was heard
                           * of an interrupted answer, may hold up what was said after them */
    TURN_TEXT_MAX = 16384,
};

struct turn {
    bool caller; /* else the assistant */
    bool complete;
    bool interrupted;
    bool judged; /* the provider has said which words were heard */
    bool sounded; /* audio of it went out; else the caller knows nothing of it */
    char item[AI_ID_SIZE];
    char *text; /* NULL: none yet */
    int64_t started_ms, ended_ms; /* wall clock */
};

/* Zero it, and leave it where it is. */
struct turns {
    struct turn *open; /* oldest first */
    int count, _room;
    struct turn _few[TURNS_FEW];
};

/* Opens a turn unless the item has one; returns it, until the next is opened. Never NULL: when out of
 * memory, or when there are TURNS_MAX, the oldest makes room, and is lost unless it was taken before. */
struct turn *turns_open(struct turns *t, bool caller, const char *item, int64_t now_ms);

/* There are as many as may be: the oldest is complete as it is, and is to be taken now. false: there is room. */
bool turns_close_oldest_if_full(struct turns *t);

/* NULL if the item has no open turn. */
struct turn *turns_find(struct turns *t, const char *item);

/* Adds to, or replaces, a turn's words; past TURN_TEXT_MAX the rest is dropped. */
void turn_append(struct turn *turn, const char *text);
void turn_replace(struct turn *turn, const char *text);

/* Of an interrupted turn only the words that fit in heard_ms of sent_ms stay, to a whole word. */
void turn_cut(struct turn *turn, int64_t heard_ms, int64_t sent_ms);

/* Takes the next turn that may leave; the caller owns out->text. With all, every turn leaves (the
 * call is over). false: none may. Turns without words are dropped here. */
bool turns_take(struct turns *t, bool all, int64_t now_ms, struct turn *out);

/* Whether something waits only for time to pass. */
bool turns_waiting(const struct turns *t);

void turns_release(struct turns *t);
