#include "flusher/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERSION_MAX = 9999 };

static bool take_version(struct options *options, const char *text)
{
    char *end;
    long n = text ? strtol(text, &end, 10) : -1;
    if (!text || end == text || *end || n < 0 || n > VERSION_MAX) {
        fprintf(stderr, "flusher: --to needs the number of a migration, 0 for none, not \"%s\"\n", text ? text : "");
        return false;
    }
    options->to = (int)n;
    return true;
}

static bool *switch_named(struct options *options, const char *word)
{
    const struct {
        const char *name;
        bool *on;
    } rows[] = {{"--check", &options->check},
                {"--dry-run", &options->dry_run},
                {"--json", &options->json},
                {"--unmask", &options->unmask}};
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (strcmp(word, rows[i].name) == 0)
            return rows[i].on;
    }
    return NULL;
}

bool options_take(struct options *options, int *argc, char **argv)
{
    int kept = 1;
    *options = (struct options){.to = -1};
    for (int i = 1; i < *argc; i++) {
        bool *on = switch_named(options, argv[i]);
        if (on) {
            *on = true;
        } else if (strncmp(argv[i], "--to=", 5) == 0) {
            if (!take_version(options, argv[i] + 5))
                return false;
        } else if (strcmp(argv[i], "--to") == 0) {
            if (!take_version(options, argv[i + 1])) /* argv ends with NULL */
                return false;
            i++;
        } else {
            argv[kept++] = argv[i];
        }
    }
    argv[kept] = NULL;
    *argc = kept;
    return true;
}

bool options_set_words(struct options *options, char **argv, int count)
{
    if (count > (int)ARRAY_LEN(options->words))
        return false;
    for (int i = 0; i < count; i++)
        options->words[i] = argv[i];
    options->word_count = count;
    return true;
}
