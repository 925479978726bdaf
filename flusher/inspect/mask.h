/* Keeps names and numbers of callers from people who need not know them. What is known of a call (the fields of
 * its context, names noted in its journal) is masked wherever it stands, and everything that looks like a
 * telephone number or an e-mail address. */
#pragma once
#include "common/base/base.h"

enum { MASK_NAMES_MAX = 16 };

struct mask {
    bool off;                    /* --unmask */
    char *_names[MASK_NAMES_MAX]; /* the longest first */
    size_t _count;
};

/* A name that the call knows somebody by; its words are masked one by one too. */
void mask_learn(struct mask *mask, const char *name);

/* Learns from a field of a context or an entry, if it is one that holds a name. */
void mask_learn_field(struct mask *mask, const char *field, const char *value);

/* The text without what is masked. malloc'd; NULL when memory is out. */
char *mask_text(const struct mask *mask, const char *text);

void mask_release(struct mask *mask);
