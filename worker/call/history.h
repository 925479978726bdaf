/* The turns of a conversation as they were heard: what a new AI session must know to go on. */
#pragma once
#include "common/base/base.h"

enum { HISTORY_MAX = 200 }; /* turns; older ones are forgotten, oldest first */

struct past_turn {
    char speaker[16]; /* "caller", "assistant" or "system" */
    char *text;
};

/* Zero it. */
struct history {
    struct past_turn *turns; /* oldest first */
    int count, room;
};

/* Copies. false: out of memory, and the turn is not kept. */
bool history_add(struct history *h, const char *speaker, const char *text);
void history_release(struct history *h);
