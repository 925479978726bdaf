/* Words of the command line that belong to a command, not to the configuration. */
#pragma once
#include "common/base/base.h"

struct options {
    bool check;   /* --check, the same as the command check */
    bool dry_run; /* --dry-run */
    bool json;    /* --json */
    bool unmask;  /* --unmask */
    int to;       /* --to N; -1 when it was not given */
    const char *words[8]; /* the command and what follows it; borrowed from argv */
    int word_count;
};

/* Takes the flags above out of argv (which keeps the others, and its NULL at the end). false: one of them
 * is not right; it was said on stderr. */
RF_NODISCARD bool options_take(struct options *options, int *argc, char **argv);

/* What is left when config_load has taken its flags too. false: more words than any command has. */
RF_NODISCARD bool options_set_words(struct options *options, char **argv, int count);
