/* flusher: takes ended calls from Redis and writes their journals to Postgres, exactly once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"
#include "flusher/config.h"
#include "flusher/migrate.h"

#define CONFIG_STRUCT struct flusher_config
static const struct config_row config_rows[] = {FLUSHER_CONFIG(CONFIG_ROW)};

static const struct config_spec config_spec = {
    .program = "flusher",
    .summary = "Takes ended calls from Redis and writes their journals to Postgres, exactly once.",
    .commands = "  (none)          run until SIGTERM\n"
                "  migrate         bring the database to the newest schema\n"
                "  migrate to N    bring it up or back to version N (0: nothing is left)\n"
                "  migrate plan    say what migrate would do, change nothing\n",
    .rows = config_rows,
    .row_count = ARRAY_LEN(config_rows),
};

static int usage(const char *word)
{
    fprintf(stderr, "flusher: do not know what to do with \"%s\"; flusher --help lists the commands\n", word);
    return 2;
}

static int migrate_command(const struct flusher_config *config, char **words, int count)
{
    char *end;
    long target;
    if (count == 0)
        return migrate(config->database_url, MIGRATE_NEWEST);
    if (count == 1 && strcmp(words[0], "plan") == 0)
        return migrate_plan(config->database_url, MIGRATE_NEWEST);
    if (count != 2 || strcmp(words[0], "to") != 0)
        return usage(words[0]);
    target = strtol(words[1], &end, 10);
    if (end == words[1] || *end || target < 0 || target > 9999)
        return usage(words[1]);
    return migrate(config->database_url, (int)target);
}

int main(int argc, char **argv)
{
    struct flusher_config config;
    int words = 0, code;
    enum config_result loaded = config_load(&config_spec, &config, argc, argv, &words);
    log_init("flusher");
    if (loaded != CONFIG_OK)
        code = loaded == CONFIG_HELP ? 0 : 2;
    else if (words == 0)
        code = usage("run");
    else if (strcmp(argv[1], "migrate") == 0)
        code = migrate_command(&config, argv + 2, words - 1);
    else
        code = usage(argv[1]);
    config_release(&config_spec, &config);
    return code;
}
