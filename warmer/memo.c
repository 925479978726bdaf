#include "warmer/memo.h"

#include <stdlib.h>
#include <string.h>

#include "warmer/context.h"

/* FNV-1a, never 0. */
static uint64_t hash_of(const char *number)
{
    uint64_t hash = 14695981039346656037u;
    for (; *number; number++)
        hash = (hash ^ (uint8_t)*number) * 1099511628211u;
    return hash | 1;
}

static void forget(struct memo *memo)
{
    free(memo->apology_text);
    free(memo->fallback_number);
    free(memo->hold_text);
    memset(memo, 0, sizeof *memo);
}

static struct memo *place_of(struct memos *memos, uint64_t hash)
{
    return &memos->at[(hash >> 8) % MEMO_MAX];
}

struct memo *memo_find(struct memos *memos, const char *number)
{
    uint64_t hash = hash_of(number);
    struct memo *memo = place_of(memos, hash);
    return memo->number == hash ? memo : NULL;
}

/* Changes the text only if it differs: a call that teaches nothing new allocates nothing. */
static void learn_text(char **text, const char *said)
{
    if (strcmp(*text ? *text : "", said) == 0)
        return;
    free(*text);
    *text = *said ? strdup(said) : NULL;
}

struct memo *memo_learn(struct memos *memos, const char *number, const struct context *loaded)
{
    uint64_t hash = hash_of(number);
    struct memo *memo = place_of(memos, hash);
    if (memo->number != hash)
        forget(memo);
    memo->number = hash;
    learn_text(&memo->apology_text, context_get(loaded, "apology_text"));
    learn_text(&memo->fallback_number, context_get(loaded, "fallback_number"));
    learn_text(&memo->hold_text, context_get(loaded, "hold_text"));
    return memo;
}

void memos_release(struct memos *memos)
{
    for (size_t i = 0; i < MEMO_MAX; i++)
        forget(&memos->at[i]);
}
