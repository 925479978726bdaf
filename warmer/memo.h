/* What this process remembers of the numbers that were called lately: enough to answer well when Redis
 * or the database cannot be asked. Bounded: a number may push out another one. */
#pragma once
#include "common/base/base.h"

struct context;

struct memo {
    uint64_t number;       /* a hash; 0: nobody */
    int64_t kept_ms;       /* when its snapshot was last written, monotonic; 0: not */
    char *apology_text;    /* or NULL: the fleet's */
    char *fallback_number; /* or NULL: the fleet's */
    char *hold_text;       /* or NULL: the fleet's */
};

enum { MEMO_MAX = 1024 };

struct memos {
    struct memo at[MEMO_MAX];
};

/* NULL when nothing is known of the number. */
struct memo *memo_find(struct memos *memos, const char *number);

/* Takes what a load said of the number's business. */
struct memo *memo_learn(struct memos *memos, const char *number, const struct context *loaded);

void memos_release(struct memos *memos);
