/* `warmer --check`: does the SQL fit this database, and what would a call get from it? */
#pragma once
#include "warmer/config.h"

/* Takes --check, and with it --from NUMBER and --to NUMBER, out of the arguments. False: it is not there. */
struct check_spec {
    const char *from, *to; /* NULL: not given */
};
bool check_asked(int *argc, char **argv, struct check_spec *spec);

/* Connects, prepares all statements, prints the columns a call would get (with --to: their values, and the
 * prompts that are made of them) and what is missing. Writes nothing. An exit status: 0 if everything that
 * workers need is there. */
int check_run(const struct warmer_config *config, const struct check_spec *spec);
