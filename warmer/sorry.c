#include "warmer/sorry.h"

#include "warmer/memo.h"

void sorry_words(struct warmer *w, const char *number, struct twiml *out)
{
    const struct memo *memo = memo_find(&w->memos, number);
    twiml_say_and_hang_up(out, memo && memo->apology_text ? memo->apology_text : w->config.apology_text);
}

const char *sorry_hold_text(struct warmer *w, const char *number)
{
    const struct memo *memo = memo_find(&w->memos, number);
    return memo && memo->hold_text ? memo->hold_text : w->config.hold_text;
}

void sorry_document(struct warmer *w, const char *number, struct twiml *out)
{
    const struct memo *memo = memo_find(&w->memos, number);
    const char *fallback = memo && memo->fallback_number ? memo->fallback_number : w->config.fallback_number;
    if (twiml_number_good(fallback))
        twiml_dial(out, fallback);
    else
        sorry_words(w, number, out);
}
