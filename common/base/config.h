/* Configuration from one table per program.
 *
 * A row gives kind, struct field, name, default, rule and help. From it come the struct's members,
 * the environment variable (RINGFLEET_<NAME>), the flag (--<name>, lower case, dashes), the check
 * at start and the --help text. A flag wins over the environment, the environment over the default.
 *
 *   #define WORKER_CONFIG(X) \
 *       X(ADDR, listen,    "LISTEN",    "0.0.0.0:8081", "host:port", "where ...") \
 *       X(INT,  max_calls, "MAX_CALLS", "500",          "1..20000",  "how many ...")
 *   struct worker_config { WORKER_CONFIG(CONFIG_MEMBER) };
 *   static const struct config_row rows[] = { WORKER_CONFIG(CONFIG_ROW) };
 *
 * (CONFIG_ROW needs `#define CONFIG_STRUCT struct worker_config` beside it.)
 *
 * Kinds and what their rule means:
 *   STR     text                              rule ignored (shown in help)
 *   NAME    part of keys and other names      "up to <n> " CONFIG_NAME_SET
 *   SECRET  text, also read from the (not empty) file named by RINGFLEET_<NAME>_FILE; never printed
 *   INT     whole number                      "min..max"
 *   ADDR    host:port to listen on            rule ignored
 *   URL     scheme://...                      allowed schemes, "redis|unix"
 *   CHOICE  one of                            "openai|elevenlabs"
 * A NULL default makes the setting required; "" means "not set". */
#pragma once
#include "common/base/base.h"

enum config_kind { CONFIG_STR, CONFIG_NAME, CONFIG_SECRET, CONFIG_INT, CONFIG_ADDR, CONFIG_URL, CONFIG_CHOICE };

#define CONFIG_CTYPE_STR char *
#define CONFIG_CTYPE_NAME char *
#define CONFIG_CTYPE_SECRET char *
#define CONFIG_CTYPE_ADDR char *
#define CONFIG_CTYPE_URL char *
#define CONFIG_CTYPE_CHOICE char *
#define CONFIG_CTYPE_INT int64_t

#define CONFIG_MEMBER(kind, field, name, dflt, rule, help) CONFIG_CTYPE_##kind field;
#define CONFIG_ROW(kind, field, name, dflt, rule, help) \
    {CONFIG_##kind, name, offsetof(CONFIG_STRUCT, field), dflt, rule, help},

struct config_row {
    enum config_kind kind;
    const char *name; /* without RINGFLEET_ */
    size_t offset;
    const char *dflt;
    const char *rule;
    const char *help;
};

struct config_spec {
    const char *program;
    const char *summary;  /* one or two sentences for --help */
    const char *commands; /* help text of subcommands, or NULL if there are none */
    const struct config_row *rows;
    size_t row_count;
};

/* The characters of a NAME: it stands in Redis keys, in patterns of them and in JSON. */
#define CONFIG_NAME_SET "of A-Za-z0-9_.:-"

/* Settings every program has. */
#define CONFIG_SHARED(X, admin_default)                                                                          \
    X(SECRET, redis_url, "REDIS_URL", "redis://127.0.0.1:6379", "redis|rediss|redis+sentinel|rediss+sentinel|unix", \
      /* it may hold a password */                                                                               \
      "the fleet's Redis: redis://[user:pass@]host:port[,host:port][/db] (a server, or nodes of a cluster), "    \
      "redis+sentinel://[user:pass@]host:port[,host:port]/master[/db] or unix:///path; rediss is with TLS")      \
    X(NAME, key_prefix, "KEY_PREFIX", "rf", "up to 64 " CONFIG_NAME_SET, "first part of every Redis key")        \
    X(INT, partitions, "PARTITIONS", "1", "1..1024", "hash-tag partitions, the same in all programs for ever")   \
    X(ADDR, admin_listen, "ADMIN_LISTEN", admin_default, "host:port", "/healthz, /readyz and /metrics")          \
    X(CHOICE, log_level, "LOG_LEVEL", "info", "debug|info|warn|error", "least level that is logged")

enum config_result { CONFIG_OK, CONFIG_HELP, CONFIG_BAD };

/* Fills *config (a struct made from the table). Arguments that are no flags are counted in
 * *positional and moved to the front of argv[1..]. CONFIG_HELP: help or version was printed to
 * stdout. CONFIG_BAD: what is wrong, and what would be right, was printed to stderr, all problems
 * at once. In every case the caller owns the strings and calls config_release. */
RF_NODISCARD enum config_result config_load(const struct config_spec *spec, void *config, int argc, char **argv,
                                            int *positional);
void config_release(const struct config_spec *spec, void *config);
