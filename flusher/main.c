/* flusher: takes ended calls from Redis and writes their journals to Postgres, exactly once. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "common/base/admin.h"
#include "common/base/crypto.h"
#include "common/base/log.h"
#include "common/base/log_sink.h"
#include "flusher/check.h"
#include "flusher/config.h"
#include "flusher/flush.h"
#include "flusher/inspect/inspect.h"
#include "flusher/jobs/jobs.h"
#include "flusher/jobs/statements.h"
#include "flusher/migrate.h"
#include "flusher/options.h"

#define CONFIG_STRUCT struct flusher_config
static const struct config_row config_rows[] = {FLUSHER_CONFIG(CONFIG_ROW)};

static const struct config_spec config_spec = {
    .program = "flusher",
    .summary = "Takes ended calls from Redis and writes their journals to Postgres, exactly once.",
    .commands = "  (none)                        run until SIGTERM\n"
                "  jobs                          do only what is done after calls, until SIGTERM (RINGFLEET_JOBS=elsewhere)\n"
                "  migrate [--to N] [--dry-run]  bring the database to the newest schema, or up or back to version N\n"
                "                                (0: nothing is left); --dry-run says what would be done\n"
                "  check, or --check             would it work? prepares every statement, your own too; changes nothing\n"
                "  calls [live|ended|stuck]      calls that are not in Postgres yet\n"
                "  show CALL                     all that is known of one call\n"
                "  pending                       ended calls in the hands of a flusher\n"
                "  dead [list]                   what Postgres refused\n"
                "  dead show|replay|discard WHICH   a letter's id, a call's id, or all\n"
                "  jobs list [waiting|dead]      what is left to do after calls, and what was given up\n"
                "  jobs retry|discard WHICH      what was given up: a recording's id, a call's id, or all\n"
                "  recording CALL                where the recordings of a call are\n"
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

/* The two parts of the program; one of them may be missing. */
struct running {
    struct event_base *base;
    struct flusher *flusher;
    struct jobs *jobs;
    bool flusher_ended, jobs_ended;
    struct event *late;
};

static void on_signal(evutil_socket_t signal, short what, void *arg)
{
    struct running *r = arg;
    (void)what;
    log_info(NULL, "stopping", log_int("signal", signal));
    if (r->flusher)
        flusher_stop(r->flusher);
    if (r->jobs)
        jobs_stop(r->jobs);
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

static void leave_when_ended(struct running *r)
{
    if (r->flusher_ended && r->jobs_ended)
        event_base_loopbreak(r->base);
}

static void on_flusher_ended(evutil_socket_t fd, short what, void *arg)
{
    struct running *r = arg;
    (void)fd;
    (void)what;
    r->flusher_ended = flusher_ended(r->flusher);
    if (r->flusher_ended && r->jobs)
        jobs_stop(r->jobs); /* it was asked to, or found that it cannot go on (flusher_misfit) */
    leave_when_ended(r);
}

static void on_jobs_ended(evutil_socket_t fd, short what, void *arg)
{
    struct running *r = arg;
    (void)fd;
    (void)what;
    r->jobs_ended = true;
    leave_when_ended(r);
}

static const char *not_ready(void *arg)
{
    struct running *r = arg;
    const char *why = r->flusher ? flusher_not_ready(r->flusher) : NULL;
    return why || !r->jobs ? why : jobs_not_ready(r->jobs);
}

static void print_metrics(struct evbuffer *out, void *arg)
{
    struct running *r = arg;
    if (r->flusher)
        flusher_print_metrics(out, r->flusher);
    if (r->jobs)
        jobs_print_metrics(out, r->jobs);
}

static bool watch(struct running *r, struct event *term, struct event *intr, struct event *flusher, struct event *jobs)
{
    return term && intr && r->late && event_add(term, NULL) == 0 && event_add(intr, NULL) == 0 &&
           (!r->flusher || (flusher && event_add(flusher, NULL) == 0)) &&
           (!r->jobs || (jobs && event_add(jobs, NULL) == 0));
}

static bool start(const struct running *r)
{
    return (!r->flusher || flusher_start(r->flusher)) && (!r->jobs || jobs_start(r->jobs));
}

static void free_event(struct event *event)
{
    if (event)
        event_free(event);
}

static int run_loop(struct running *r, const struct flusher_config *config)
{
    struct event *term = evsignal_new(r->base, SIGTERM, on_signal, r);
    struct event *intr = evsignal_new(r->base, SIGINT, on_signal, r);
    struct event *flusher = r->flusher ? event_new(r->base, flusher_ended_fd(r->flusher), EV_READ | EV_PERSIST,
                                                   on_flusher_ended, r) : NULL;
    struct event *jobs = r->jobs ? event_new(r->base, jobs_ended_fd(r->jobs), EV_READ, on_jobs_ended, r) : NULL;
    struct admin_spec spec = {config->admin_listen, not_ready, print_metrics, r};
    struct admin *admin = admin_new(r->base, &spec);
    int code = 1;
    r->late = evtimer_new(r->base, on_late, NULL);
    if (admin && watch(r, term, intr, flusher, jobs) && start(r)) {
        log_info(NULL, "started", log_int("partitions", config->partitions), log_str("admin", config->admin_listen),
                 log_str("after_calls", r->jobs ? "here" : jobs_want_any(config) ? "elsewhere" : "nothing"));
        event_base_dispatch(r->base);
        log_info(NULL, "stopped");
        code = r->flusher && flusher_misfit(r->flusher) ? 1 : 0;
    } else {
        if (r->flusher)
            flusher_stop(r->flusher);
        if (r->jobs)
            jobs_stop(r->jobs);
    }
    admin_free(admin);
    free_event(r->late);
    free_event(jobs);
    free_event(flusher);
    free_event(intr);
    free_event(term);
    return code;
}

static void warn_of_settings(const struct flusher_config *config)
{
    if (*config->after_call_url && !jobs_want_hooks(config))
        log_warn(NULL, "RINGFLEET_AFTER_CALL_URL is not used: RINGFLEET_AFTER_CALL_HOOK is 0");
    if (*config->transcription_url && !jobs_want_transcripts(config))
        log_warn(NULL, "RINGFLEET_TRANSCRIPTION_URL is not used: RINGFLEET_RECORDING_STORE is not set");
}

static int run(const struct flusher_config *config, bool flushes, bool works)
{
    char error[512];
    struct running r = {.base = event_base_new(), .flusher_ended = !flushes, .jobs_ended = !works};
    int code = 1;
    signal(SIGPIPE, SIG_IGN); /* who reads the log may go; commands end with their reader */
    log_sink_never_wait();
    warn_of_settings(config);
    r.flusher = flushes ? flusher_new(config, error, sizeof error) : NULL;
    r.jobs = works && (r.flusher || !flushes) ? jobs_new(config, error, sizeof error) : NULL;
    if ((flushes && !r.flusher) || (works && !r.jobs))
        log_error(NULL, "cannot start", log_str("error", error));
    else if (!r.base || !crypto_init())
        log_error(NULL, "cannot start", log_str("error", "out of memory"));
    else
        code = run_loop(&r, config);
    jobs_free(r.jobs);
    flusher_free(r.flusher);
    if (r.base)
        event_base_free(r.base);
    return code;
}

static int run_command(const struct flusher_config *config, const struct options *options)
{
    (void)options;
    return run(config, true, jobs_want_any(config) && strcmp(config->jobs, "here") == 0);
}

static int jobs_command(const struct flusher_config *config, const struct options *options)
{
    if (options->word_count > 1)
        return inspect_jobs(config, options);
    if (jobs_want_any(config))
        return run(config, false, true);
    log_error(NULL, "cannot start",
              log_str("error", "there is nothing to do after calls: neither RINGFLEET_RECORDING_STORE nor "
                               "RINGFLEET_AFTER_CALL_HOOK is set"));
    return 1;
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
    {"jobs", 3, jobs_command},
    {"recording", 2, inspect_recording},
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
