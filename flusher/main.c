/* flusher: takes ended calls from Redis and writes their journals to Postgres, exactly once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/admin.h"
#include "common/base/log.h"
#include "flusher/check.h"
#include "flusher/config.h"
#include "flusher/flush.h"
#include "flusher/inspect/inspect.h"
#include "flusher/migrate.h"
#include "flusher/options.h"

#define CONFIG_STRUCT struct flusher_config
static const struct config_row config_rows[] = {FLUSHER_CONFIG(CONFIG_ROW)};

static const struct config_spec config_spec = {
    .program = "flusher",
    .summary = "Takes ended calls from Redis and writes their journals to Postgres, exactly once.",
    .commands = "  (none)                        run until SIGTERM\n"
                "  migrate [--to N] [--dry-run]  bring the database to the newest schema, or up or back to version N\n"
                "                                (0: nothing is left); --dry-run says what would be done\n"
                "  check, or --check             would it work? prepares every statement, your own too; changes nothing\n"
                "  calls [live|ended|stuck]      calls that are not in Postgres yet\n"
                "  show CALL                     all that is known of one call\n"
                "  pending                       ended calls in the hands of a flusher\n"
                "  dead [list]                   what Postgres refused\n"
                "  dead show|replay|discard WHICH   a letter's id, a call's id, or all\n"
                "  tail [CALL]                   journal entries as they are written, of all calls or one\n"
                "                                (these take --json, and --unmask for names and numbers)\n",
    .rows = config_rows,
    .row_count = ARRAY_LEN(config_rows),
};

static int usage(const char *word)
{
    fprintf(stderr, "flusher: do not know what to do with \"%s\"; flusher --help lists the commands\n", word);
    return 2;
}

/* A stop that takes longer is cut short: being killed at any moment is safe. */
static const struct timeval stop_limit = {25, 0};

struct running {
    struct event_base *base;
    struct flusher *flusher;
    struct event *late;
};

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
    struct running *r = arg;
    (void)what;
    log_info(NULL, "stopping", log_int("signal", signal));
    flusher_stop(r->flusher);
    event_add(r->late, &stop_limit);
}

static void on_late(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    (void)arg;
    log_error(NULL, "did not stop in time; what was under way will be repeated");
    _exit(1);
}

static void on_ended(evutil_socket_t fd, short what, void *arg)
{
    struct running *r = arg;
    (void)fd;
    (void)what;
    if (flusher_ended(r->flusher))
        event_base_loopbreak(r->base);
}

static int run_loop(struct running *r, const struct flusher_config *config)
{
    struct event *term = evsignal_new(r->base, SIGTERM, on_signal, r);
    struct event *intr = evsignal_new(r->base, SIGINT, on_signal, r);
    struct event *ended = event_new(r->base, flusher_ended_fd(r->flusher), EV_READ | EV_PERSIST, on_ended, r);
    struct admin_spec spec = {config->admin_listen, flusher_not_ready, flusher_print_metrics, r->flusher};
    struct admin *admin = admin_new(r->base, &spec);
    int code = 1;
    r->late = evtimer_new(r->base, on_late, NULL);
    if (admin && term && intr && ended && r->late && event_add(term, NULL) == 0 && event_add(intr, NULL) == 0 &&
        event_add(ended, NULL) == 0 && flusher_start(r->flusher)) {
        log_info(NULL, "started", log_int("partitions", config->partitions), log_str("admin", config->admin_listen));
        event_base_dispatch(r->base);
        log_info(NULL, "stopped");
        code = flusher_misfit(r->flusher) ? 1 : 0;
    }
    admin_free(admin);
    if (r->late)
        event_free(r->late);
    if (ended)
        event_free(ended);
    if (intr)
        event_free(intr);
    if (term)
        event_free(term);
    return code;
}

static int run_command(const struct flusher_config *config, const struct options *options)
{
    char error[512];
    struct running r = {.base = event_base_new(), .flusher = flusher_new(config, error, sizeof error)};
    int code = 1;
    (void)options;
    if (!r.flusher)
        log_error(NULL, "cannot start", log_str("error", error));
    else if (r.base)
        code = run_loop(&r, config);
    flusher_free(r.flusher);
    if (r.base)
        event_base_free(r.base);
    return code;
}

static int migrate_command(const struct flusher_config *config, const struct options *options)
{
    int target = options->to >= 0 ? options->to : MIGRATE_NEWEST;
    return options->dry_run ? migrate_plan(config->database_url, target) : migrate(config->database_url, target);
}

static int check_command(const struct flusher_config *config, const struct options *options)
{
    (void)options;
    return check(config);
}

typedef int command_fn(const struct flusher_config *config, const struct options *options);

static const struct command {
    const char *name;
    int words; /* at most, its name included */
    command_fn *run;
} commands[] = {
    {"", 0, run_command},
    {"migrate", 1, migrate_command},
    {"check", 1, check_command},
    {"calls", 2, inspect_calls},
    {"show", 2, inspect_show},
    {"pending", 1, inspect_pending},
    {"dead", 3, inspect_dead},
    {"tail", 2, inspect_tail},
};

static int dispatch(const struct flusher_config *config, const struct options *options)
{
    const char *name = options->word_count > 0 ? options->words[0] : options->check ? "check" : "";
    for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        return options->word_count > commands[i].words ? usage(options->words[commands[i].words])
                                                       : commands[i].run(config, options);
    }
    return usage(name);
}

int main(int argc, char **argv)
{
    struct flusher_config config;
    struct options options;
    int words = 0, code = 2;
    enum config_result loaded;
    log_init("flusher");
    if (!options_take(&options, &argc, argv))
        return 2;
    loaded = config_load(&config_spec, &config, argc, argv, &words);
    if (loaded == CONFIG_HELP)
        code = 0;
    else if (loaded == CONFIG_OK && log_set_level(config.log_level) == 0)
        code = options_set_words(&options, argv + 1, words) ? dispatch(&config, &options) : usage(argv[words]);
    config_release(&config_spec, &config);
    return code;
}
