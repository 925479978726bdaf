/* Writes JSON as nobody does, by a seed: members in any order, missing, doubled or unknown, space everywhere,
 * any character escaped, values of the wrong kind; and then cuts it or changes bytes of it. */
#pragma once
#include "common/base/base.h"

enum { FORGE_MAX = 65536, FORGE_FIELDS_MAX = 16 };

struct forge {
    uint64_t seed; /* not 0 */
    bool usual;    /* as peers write: every member once and in its place, no space, no escapes but those that must be */
    size_t len;
    char text[FORGE_MAX]; /* past it nothing is written: the text is cut off */
};

/* A member that a message of this kind has. value writes what belongs there (`word` is for it). */
struct forge_field {
    const char *key;
    void (*value)(struct forge *f, const char *word);
    const char *word;
};

/* Below n. */
uint32_t forge_below(struct forge *f, uint32_t n);

/* An object of these fields. Most of the time each is there, once. */
void forge_object(struct forge *f, const struct forge_field *fields, size_t count);

/* ---- values ---- */

void forge_word(struct forge *f, const char *word);     /* the string */
void forge_number(struct forge *f, const char *word);   /* some whole number, or a string of it */
void forge_base64(struct forge *f, const char *word);   /* audio of any length */
void forge_anything(struct forge *f, const char *word); /* any value at all */

/* Cuts the text or changes a few of its bytes; it may stay good. */
void forge_spoil(struct forge *f);
