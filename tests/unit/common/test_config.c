#include "common/base/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/capture.h"
#include "tests/unit/unit.h"

#define TEST_CONFIG(X)                                                                 \
    CONFIG_SHARED(X, "0.0.0.0:9101")                                                   \
    X(SECRET, stream_secret, "STREAM_SECRET", NULL, "text", "signs the media tokens")  \
    X(SECRET, api_key, "API_KEY", "", "text", "bearer key of the outbound API")        \
    X(NAME, nick, "NICK", "", "up to 8 " CONFIG_NAME_SET, "a name that may be left out") \
    X(STR, voice, "VOICE", "marin", "text", "voice of the AI")                         \
    X(URL, public_url, "PUBLIC_URL", "", "https|http", "base of the webhooks")         \
    X(INT, max_calls, "MAX_CALLS", "500", "1..20000", "calls at once")                 \
    X(INT, offset, "OFFSET", "0", "-5..5", "may be negative")

struct test_config {
    TEST_CONFIG(CONFIG_MEMBER)
};
#define CONFIG_STRUCT struct test_config
static const struct config_row rows[] = {TEST_CONFIG(CONFIG_ROW)};
static const struct config_spec spec = {"tester", "Tests its configuration.", "  migrate   does something once\n", rows,
                                        ARRAY_LEN(rows)};

#define TEN "0123456789"

enum { ARGS_MAX = 8, ARG_SIZE = 128 };

/* One load: what came out, and what was printed. */
struct load {
    struct test_config config;
    enum config_result result;
    int positional;
    char *argv[ARGS_MAX + 1], args[ARGS_MAX][ARG_SIZE];
    char err[4096], out[8192];
};

/* Loads with these arguments (ended by NULL). */
static void load(struct load *l, ...)
{
    struct capture out, err;
    const char *arg = "tester";
    int argc = 0;
    va_list args;
    memset(l, 0, sizeof *l);
    va_start(args, l);
    for (; arg; arg = va_arg(args, const char *)) {
        snprintf(l->args[argc], ARG_SIZE, "%s", arg);
        l->argv[argc] = l->args[argc];
        argc++;
    }
    va_end(args);
    capture_begin(&out, 1);
    capture_begin(&err, 2);
    l->result = config_load(&spec, &l->config, argc, l->argv, &l->positional);
    capture_end(&err, l->err, sizeof l->err);
    capture_end(&out, l->out, sizeof l->out);
}

static void unload(struct load *l)
{
    config_release(&spec, &l->config);
    assert_null(l->config.voice);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in: %s", part, text);
}

/* Every test begins with the one required setting and nothing else. */
static int setup(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char name[96];
        snprintf(name, sizeof name, "RINGFLEET_%s", rows[i].name);
        unsetenv(name);
        strcat(name, "_FILE");
        unsetenv(name);
    }
    return setenv("RINGFLEET_STREAM_SECRET", "swordfish", 1);
}

static void test_defaults(void **state)
{
    struct load l;
    (void)state;
    load(&l, NULL);
    assert_int_equal(l.result, CONFIG_OK);
    assert_string_equal(l.err, "");
    assert_string_equal(l.out, "");
    assert_string_equal(l.config.redis_url, "redis://127.0.0.1:6379");
    assert_string_equal(l.config.key_prefix, "rf");
    assert_int_equal(l.config.partitions, 1);
    assert_string_equal(l.config.admin_listen, "0.0.0.0:9101");
    assert_string_equal(l.config.log_level, "info");
    assert_string_equal(l.config.stream_secret, "swordfish");
    assert_string_equal(l.config.api_key, "");
    assert_string_equal(l.config.public_url, "");
    assert_int_equal(l.config.max_calls, 500);
    assert_int_equal(l.positional, 0);
    unload(&l);
}

static void test_flag_beats_environment_beats_default(void **state)
{
    struct load l;
    (void)state;
    setenv("RINGFLEET_MAX_CALLS", "70", 1);
    setenv("RINGFLEET_VOICE", "cedar", 1);
    setenv("RINGFLEET_LOG_LEVEL", "debug", 1);
    load(&l, "--max-calls", "80", "--voice=ash=tree", NULL);
    assert_int_equal(l.result, CONFIG_OK);
    assert_int_equal(l.config.max_calls, 80);
    assert_string_equal(l.config.voice, "ash=tree");
    assert_string_equal(l.config.log_level, "debug");
    unload(&l);
}

/* A bad value in the environment does no harm once a flag has replaced it. */
static void test_flag_hides_a_bad_environment(void **state)
{
    struct load l;
    (void)state;
    setenv("RINGFLEET_MAX_CALLS", "many", 1);
    load(&l, "--max-calls=80", NULL);
    assert_int_equal(l.result, CONFIG_OK);
    assert_string_equal(l.err, "");
    unload(&l);
}

static void test_good_values(void **state)
{
    static const struct {
        const char *name, *value;
    } good[] = {
        {"REDIS_URL", "redis://user:pass@redis.example:6380/2"},
        {"ADMIN_LISTEN", "127.0.0.1:1"},
        {"ADMIN_LISTEN", "[::]:65535"},
        {"PUBLIC_URL", "https://calls.example"},
        {"PUBLIC_URL", "http://10.0.0.1:8080/base"},
        {"PUBLIC_URL", ""},
        {"LOG_LEVEL", "error"},
        {"KEY_PREFIX", "shop.eu:rf-2_a"},
        {"KEY_PREFIX", TEN TEN TEN TEN TEN TEN "1234"},
        {"NICK", ""},
        {"MAX_CALLS", "1"},
        {"MAX_CALLS", "20000"},
        {"OFFSET", "-5"},
        {"API_KEY", ""},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        char name[96];
        struct load l;
        snprintf(name, sizeof name, "RINGFLEET_%s", good[i].name);
        setenv(name, good[i].value, 1);
        load(&l, NULL);
        if (l.result != CONFIG_OK)
            fail_msg("refused %s=%s: %s", name, good[i].value, l.err);
        unload(&l);
        unsetenv(name);
    }
}

/* Each is refused with its name, its value and what would be right, by environment and by flag. */
static const struct {
    const char *name, *flag, *value, *wanted;
} wrong[] = {
    {"MAX_CALLS", "--max-calls", "0", "a whole number in 1..20000"},
    {"MAX_CALLS", "--max-calls", "20001", "1..20000"},
    {"MAX_CALLS", "--max-calls", "-1", "1..20000"},
    {"MAX_CALLS", "--max-calls", "5x", "1..20000"},
    {"MAX_CALLS", "--max-calls", "5.5", "1..20000"},
    {"MAX_CALLS", "--max-calls", " 5", "1..20000"},
    {"MAX_CALLS", "--max-calls", "5 ", "1..20000"},
    {"MAX_CALLS", "--max-calls", "+5", "1..20000"},
    {"MAX_CALLS", "--max-calls", "", "1..20000"},
    {"MAX_CALLS", "--max-calls", "0x10", "1..20000"},
    {"MAX_CALLS", "--max-calls", "99999999999999999999", "1..20000"},
    {"OFFSET", "--offset", "-6", "-5..5"},
    {"PARTITIONS", "--partitions", "1025", "1..1024"},
    {"KEY_PREFIX", "--key-prefix", "", "a name, up to 64 of A-Za-z0-9_.:-"},
    {"KEY_PREFIX", "--key-prefix", TEN TEN TEN TEN TEN TEN "12345", "a name, up to 64"},
    {"KEY_PREFIX", "--key-prefix", "r f", "a name, up to 64"},
    {"KEY_PREFIX", "--key-prefix", "rf*", "a name, up to 64"},
    {"KEY_PREFIX", "--key-prefix", "{rf}", "a name, up to 64"},
    {"NICK", "--nick", "the \"9\"", "a name, up to 8"},
    {"LOG_LEVEL", "--log-level", "INFO", "one of debug|info|warn|error"},
    {"LOG_LEVEL", "--log-level", "inf", "one of debug|info|warn|error"},
    {"LOG_LEVEL", "--log-level", "info|warn", "one of debug|info|warn|error"},
    {"LOG_LEVEL", "--log-level", "", "one of debug|info|warn|error"},
    {"ADMIN_LISTEN", "--admin-listen", "9101", "an IP address and port, such as 0.0.0.0:8080"},
    {"ADMIN_LISTEN", "--admin-listen", ":9101", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "127.0.0.1", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "127.0.0.1:", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "127.0.0.1:0", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "127.0.0.1:65536", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "127.0.0.1:91x", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "localhost:9101", "an IP address and port"},
    {"ADMIN_LISTEN", "--admin-listen", "::1", "[::]:8080"},
    {"ADMIN_LISTEN", "--admin-listen", "[::1]", "[::]:8080"},
    {"ADMIN_LISTEN", "--admin-listen", "", "an IP address and port"},
    {"PUBLIC_URL", "--public-url", "calls.example", "a URL that begins with one of https|http, then ://"},
    {"PUBLIC_URL", "--public-url", "wss://calls.example", "https|http"},
    {"PUBLIC_URL", "--public-url", "https://", "https|http"},
    {"PUBLIC_URL", "--public-url", "://x", "https|http"},
    {"PUBLIC_URL", "--public-url", "http|https://x", "https|http"},
    {"PUBLIC_URL", "--public-url", "ttp://x", "https|http"},
};

static void assert_refused(const struct load *l, size_t i)
{
    char name[96], value[128];
    snprintf(name, sizeof name, "RINGFLEET_%s: ", wrong[i].name);
    snprintf(value, sizeof value, "\"%s\"", wrong[i].value);
    if (l->result != CONFIG_BAD)
        fail_msg("accepted %s%s", name, value);
    assert_contains(l->err, name);
    assert_contains(l->err, value);
    assert_contains(l->err, wrong[i].wanted);
    assert_ptr_equal(strchr(l->err, '\n'), l->err + strlen(l->err) - 1);
}

static void test_wrong_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(wrong); i++) {
        char name[96];
        struct load l;
        load(&l, wrong[i].flag, wrong[i].value, NULL);
        assert_refused(&l, i);
        unload(&l);
        snprintf(name, sizeof name, "RINGFLEET_%s", wrong[i].name);
        setenv(name, wrong[i].value, 1);
        load(&l, NULL);
        assert_refused(&l, i);
        unload(&l);
        unsetenv(name);
    }
}

static void test_all_problems_at_once(void **state)
{
    struct load l;
    (void)state;
    setenv("RINGFLEET_MAX_CALLS", "many", 1);
    setenv("RINGFLEET_LOG_LEVEL", "loud", 1);
    unsetenv("RINGFLEET_STREAM_SECRET");
    load(&l, "--nonsense", "1", NULL);
    assert_int_equal(l.result, CONFIG_BAD);
    assert_contains(l.err, "--nonsense: no such flag; tester --help lists them");
    assert_contains(l.err, "RINGFLEET_MAX_CALLS: \"many\"");
    assert_contains(l.err, "RINGFLEET_LOG_LEVEL: \"loud\"");
    assert_contains(l.err, "RINGFLEET_STREAM_SECRET is not set");
    unload(&l);
}

static void test_bad_flags(void **state)
{
    static const struct {
        const char *argument;
        const char *said;
    } bad[] = {
        {"--maxcalls=3", "--maxcalls=3: no such flag"}, {"--max_calls=3", "no such flag"},
        {"--max-call=3", "no such flag"},               {"--MAX-CALLS=3", "no such flag"},
        {"--", "no such flag"},                         {"--max-calls", "--max-calls: needs a value [1..20000]"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct load l;
        load(&l, bad[i].argument, NULL);
        assert_int_equal(l.result, CONFIG_BAD);
        assert_contains(l.err, bad[i].said);
        unload(&l);
    }
}

/* An empty secret would sign tokens that anybody can mint. */
static void test_required(void **state)
{
    struct load l;
    (void)state;
    unsetenv("RINGFLEET_STREAM_SECRET");
    load(&l, NULL);
    assert_int_equal(l.result, CONFIG_BAD);
    assert_string_equal(l.err, "RINGFLEET_STREAM_SECRET is not set; it is required: signs the media tokens\n");
    unload(&l);
    setenv("RINGFLEET_STREAM_SECRET", "", 1);
    load(&l, NULL);
    assert_int_equal(l.result, CONFIG_BAD);
    assert_contains(l.err, "RINGFLEET_STREAM_SECRET is not set; it is required");
    unload(&l);
    load(&l, "--stream-secret=", NULL);
    assert_int_equal(l.result, CONFIG_BAD);
    assert_contains(l.err, "RINGFLEET_STREAM_SECRET is not set; it is required");
    unload(&l);
}

/* Loads with RINGFLEET_STREAM_SECRET_FILE naming a file of this text. */
static void load_with_file(struct load *l, const char *text)
{
    char path[] = "/tmp/ringfleet-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    unsetenv("RINGFLEET_STREAM_SECRET");
    setenv("RINGFLEET_STREAM_SECRET_FILE", path, 1);
    load(l, NULL);
    unlink(path);
}

static void test_secret_files(void **state)
{
    struct load l;
    (void)state;
    load_with_file(&l, "from a file\r\n\n");
    assert_int_equal(l.result, CONFIG_OK);
    assert_string_equal(l.config.stream_secret, "from a file");
    unload(&l);
    setenv("RINGFLEET_STREAM_SECRET", "named directly", 1);
    load(&l, NULL);
    assert_string_equal(l.config.stream_secret, "named directly");
    unload(&l);
}

static void test_bad_secret_files(void **state)
{
    static const struct {
        const char *path, *why;
    } bad[] = {{"/nonexistent/secret", "No such file"}, {"/tmp", "Is a directory"}, {"/dev/null", "is empty"}};
    char *big = calloc(1, 20001);
    struct load l;
    (void)state;
    unsetenv("RINGFLEET_STREAM_SECRET");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        setenv("RINGFLEET_STREAM_SECRET_FILE", bad[i].path, 1);
        load(&l, NULL);
        assert_int_equal(l.result, CONFIG_BAD);
        assert_contains(l.err, "RINGFLEET_STREAM_SECRET_FILE: ");
        assert_contains(l.err, bad[i].path);
        assert_contains(l.err, bad[i].why);
        unload(&l);
    }
    assert_non_null(big);
    memset(big, 'x', 20000);
    load_with_file(&l, big);
    free(big);
    assert_int_equal(l.result, CONFIG_BAD);
    assert_contains(l.err, "longer than");
    unload(&l);
}

/* Only secrets come from files. */
static void test_other_settings_have_no_file(void **state)
{
    struct load l;
    (void)state;
    setenv("RINGFLEET_VOICE_FILE", "/nonexistent", 1);
    load(&l, NULL);
    assert_int_equal(l.result, CONFIG_OK);
    assert_string_equal(l.config.voice, "marin");
    unload(&l);
}

static void test_help_lists_every_row(void **state)
{
    static const char *const spellings[] = {"--help", "-h"};
    (void)state;
    for (size_t s = 0; s < ARRAY_LEN(spellings); s++) {
        struct load l;
        load(&l, spellings[s], NULL);
        assert_int_equal(l.result, CONFIG_HELP);
        assert_string_equal(l.err, "");
        assert_contains(l.out, "usage: tester [command] [--flag value]...");
        assert_contains(l.out, spec.summary);
        assert_contains(l.out, spec.commands);
        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
            char variable[96];
            snprintf(variable, sizeof variable, "\n      RINGFLEET_%s", rows[i].name);
            assert_contains(l.out, variable);
            assert_contains(l.out, rows[i].help);
            assert_contains(l.out, rows[i].rule);
        }
        assert_contains(l.out, "  --stream-secret\n      RINGFLEET_STREAM_SECRET (or ..._FILE)  [text]  required\n");
        assert_contains(l.out, "  --max-calls\n      RINGFLEET_MAX_CALLS  [1..20000]  default: 500\n");
        assert_contains(l.out, "  --public-url\n      RINGFLEET_PUBLIC_URL  [https|http]  default: none\n");
        assert_null(strstr(l.out, "swordfish"));
        unload(&l);
    }
}

static void test_version(void **state)
{
    struct load l;
    (void)state;
    load(&l, "--version", NULL);
    assert_int_equal(l.result, CONFIG_HELP);
    assert_string_equal(l.out, "tester " RINGFLEET_VERSION "\n");
    unload(&l);
}

static void test_positional_arguments(void **state)
{
    struct load l;
    (void)state;
    load(&l, "migrate", "--max-calls", "7", "down", "--voice=x", "3", NULL);
    assert_int_equal(l.result, CONFIG_OK);
    assert_int_equal(l.positional, 3);
    assert_string_equal(l.argv[1], "migrate");
    assert_string_equal(l.argv[2], "down");
    assert_string_equal(l.argv[3], "3");
    assert_int_equal(l.config.max_calls, 7);
    unload(&l);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_defaults, setup),
        cmocka_unit_test_setup(test_flag_beats_environment_beats_default, setup),
        cmocka_unit_test_setup(test_flag_hides_a_bad_environment, setup),
        cmocka_unit_test_setup(test_good_values, setup),
        cmocka_unit_test_setup(test_wrong_values, setup),
        cmocka_unit_test_setup(test_all_problems_at_once, setup),
        cmocka_unit_test_setup(test_bad_flags, setup),
        cmocka_unit_test_setup(test_required, setup),
        cmocka_unit_test_setup(test_secret_files, setup),
        cmocka_unit_test_setup(test_bad_secret_files, setup),
        cmocka_unit_test_setup(test_other_settings_have_no_file, setup),
        cmocka_unit_test_setup(test_help_lists_every_row, setup),
        cmocka_unit_test_setup(test_version, setup),
        cmocka_unit_test_setup(test_positional_arguments, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
