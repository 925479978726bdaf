#include "common/redis/url.h"

#include <stdio.h>
#include <string.h>

#include "common/redis/functions.h"
#include "common/redis/tls.h"
#include "tests/unit/unit.h"

static const struct {
    const char *text;
    struct {
        const char *host; /* NULL: none */
        uint16_t port;
        const char *unix_path, *user, *password;
        int db;
    } url;
} good[] = {
    {"redis://127.0.0.1:6380", {.host = "127.0.0.1", .port = 6380}},
    {"redis://redis.example", {.host = "redis.example", .port = 6379}},
    {"redis://redis.example/", {.host = "redis.example", .port = 6379}},
    {"redis://redis.example:7000/3", {.host = "redis.example", .port = 7000, .db = 3}},
    {"redis://:secret@h", {.host = "h", .port = 6379, .password = "secret"}},
    {"redis://secret@h", {.host = "h", .port = 6379, .password = "secret"}},
    {"redis://worker:secret@h:1/15", {.host = "h", .port = 1, .user = "worker", .password = "secret", .db = 15}},
    {"redis://w%40rk:p%3A%2F%25+x@h", {.host = "h", .port = 6379, .user = "w@rk", .password = "p:/%+x"}},
    {"redis://u:a:b@h", {.host = "h", .port = 6379, .user = "u", .password = "a:b"}},
    {"redis://[::1]:6379/1", {.host = "::1", .port = 6379, .db = 1}},
    {"unix:///run/redis.sock", {.unix_path = "/run/redis.sock"}},
    {"unix://:secret@/run/redis.sock", {.unix_path = "/run/redis.sock", .password = "secret"}},
};

static void assert_same(const char *got, const char *wanted)
{
    if (!wanted) {
        assert_null(got);
    } else {
        assert_non_null(got);
        assert_string_equal(got, wanted);
    }
}

static void test_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct redis_url url;
        char error[128] = "";
        if (redis_url_parse(good[i].text, &url, error, sizeof error) != 0)
            fail_msg("refused %s: %s", good[i].text, error);
        assert_int_equal(url.place_count, good[i].url.host ? 1 : 0);
        assert_same(url.place_count ? url.places[0].host : NULL, good[i].url.host);
        assert_int_equal(url.places[0].port, good[i].url.port);
        assert_same(url.unix_path, good[i].url.unix_path);
        assert_same(url.user, good[i].url.user);
        assert_same(url.password, good[i].url.password);
        assert_int_equal(url.db, good[i].url.db);
        redis_url_release(&url);
        assert_null(url.unix_path);
    }
}

static void test_several_addresses(void **state)
{
    struct redis_url url;
    char error[256];
    (void)state;
    assert_int_equal(redis_url_parse("redis://u:a,b@10.0.0.1,[::1]:7000,n3.example:7001/", &url, error, sizeof error), 0);
    assert_int_equal(url.place_count, 3);
    assert_string_equal(url.password, "a,b");
    assert_string_equal(url.places[0].host, "10.0.0.1");
    assert_int_equal(url.places[0].port, 6379);
    assert_string_equal(url.places[1].host, "::1");
    assert_int_equal(url.places[1].port, 7000);
    assert_string_equal(url.places[2].host, "n3.example");
    assert_int_equal(url.places[2].port, 7001);
    assert_null(url.master);
    redis_url_release(&url);
}

static void test_sentinel(void **state)
{
    struct redis_url url;
    char error[256];
    (void)state;
    assert_int_equal(redis_url_parse("redis+sentinel://w:pw@s1,s2:5000/my%20master/3", &url, error, sizeof error), 0);
    assert_int_equal(url.place_count, 2);
    assert_int_equal(url.places[0].port, 26379);
    assert_int_equal(url.places[1].port, 5000);
    assert_string_equal(url.master, "my master");
    assert_string_equal(url.user, "w");
    assert_int_equal(url.db, 3);
    redis_url_release(&url);
    assert_int_equal(redis_url_parse("redis+sentinel://s1/mymaster", &url, error, sizeof error), 0);
    assert_int_equal(url.db, 0);
    redis_url_release(&url);
}

/* With TLS where hiredis can, with a clear no where it cannot. */
static void test_tls(void **state)
{
    static const char *const rows[] = {"rediss://h", "rediss+sentinel://h/m"};
    struct redis_url url;
    char error[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        if (redis_tls_built()) {
            assert_int_equal(redis_url_parse(rows[i], &url, error, sizeof error), 0);
            assert_true(url.tls);
            redis_url_release(&url);
        } else {
            assert_int_equal(redis_url_parse(rows[i], &url, error, sizeof error), -1);
            assert_non_null(strstr(error, "this build's hiredis has no TLS"));
        }
    }
}

static void test_bad(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "not a URL"},
        {"127.0.0.1:6379", "not a URL"},
        {"http://h", "wanted redis://, rediss://, redis+sentinel:// or unix://"},
        {"redis+cluster://h", "wanted redis://"},
        {"redis://a,", "the host is missing"},
        {"redis://,a", "the host is missing"},
        {"redis://a,b:port", "not a URL"},
        {"redis://a:0", "not a URL"},
        {"redis://h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h,h", "too many addresses"},
        {"redis+sentinel://h", "the name of the master is missing"},
        {"redis+sentinel://h/", "the name of the master is missing"},
        {"redis+sentinel://h/m/x", "the database"},
        {"redis://", "the host is missing"},
        {"redis:///3", "the host is missing"},
        {"redis://h:65536", "not a URL"},
        {"redis://h:port", "not a URL"},
        {"redis://h/x", "the database after the host must be a number"},
        {"redis://h/-1", "the database"},
        {"redis://h/1x", "the database"},
        {"redis://h/1/2", "the database"},
        {"redis://h/1024", "the database"},
        {"unix://relative", "wanted unix:///path"},
        {"unix://", "wanted unix:///path"},
        {"redis://user:pa ss@h", "not a URL"},
        {"redis://h:6379?db=3", "nothing may stand behind ? or #"},
        {"redis://h/0?ssl=true", "nothing may stand behind ? or #"},
        {"redis://h/0?", "nothing may stand behind ? or #"},
        {"redis://a,b#c", "nothing may stand behind ? or #"},
        {"redis+sentinel://h/m?db=3", "nothing may stand behind ? or #"},
        {"unix:///run/redis.sock?db=3", "nothing may stand behind ? or #"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct redis_url url;
        char error[128] = "";
        if (redis_url_parse(bad[i].text, &url, error, sizeof error) != -1)
            fail_msg("accepted %s", bad[i].text);
        if (strncmp(error, "Redis URL: ", 11) != 0 || !strstr(error, bad[i].why))
            fail_msg("%s: %s", bad[i].text, error);
        assert_null(url.master);
        assert_null(url.password);
    }
}

/* An error is logged; what it complains about may hold the password. */
static void test_errors_tell_no_secret(void **state)
{
    struct redis_url url;
    char error[128];
    (void)state;
    assert_int_equal(redis_url_parse("redis://u:swordfish@h/nine", &url, error, sizeof error), -1);
    assert_null(strstr(error, "swordfish"));
}

/* The steps as "WORD argument ..." lines; long arguments are cut. */
static void say_hello(const struct redis_url *url, char *out, size_t size)
{
    const struct key_space keys = {"rf", 16};
    const char *argv[REDIS_HELLO_ARGS];
    struct redis_hello_room room;
    int argc;
    *out = '\0';
    for (int step = 0; (argc = redis_hello(url, &keys, "tester", step, argv, &room)) > 0; step++) {
        for (int i = 0; i < argc; i++) {
            size_t len = strlen(out);
            snprintf(out + len, size - len, "%.20s%c", argv[i], i + 1 < argc ? ' ' : '\n');
        }
    }
}

static void test_hello(void **state)
{
    char user[] = "worker", password[] = "secret", master[] = "mymaster", said[512];
    struct redis_url url = {.place_count = 1, .places = {{"h", 6379}}};
    (void)state;
#define LOAD                                    \
    "FUNCTION LOAD #!lua name=ringfleet\n"      \
    "FCALL " REDIS_FUNCTION("rf_version") " 0\n" \
    "SET rf:{p0}:partitions 16 NX GET\n"
#define LAST "CLIENT SETNAME tester\nINFO\n" LOAD
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, LAST);
    url.password = password;
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, "AUTH secret\n" LAST);
    url.user = user;
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, "AUTH worker secret\n" LAST);
    url.db = 7;
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, "AUTH worker secret\nSELECT 7\n" LAST);
    url.password = NULL;
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, "SELECT 7\n" LAST);
    url.db = 0;
    url.master = master;
    say_hello(&url, said, sizeof said);
    assert_string_equal(said, "CLIENT SETNAME tester\nINFO\nROLE\n" LOAD);
}

/* With memory full nothing can be loaded; the functions of the last start must serve then, or
 * nobody could connect to drain it. */
static void test_which_refusals_of_hello_are_borne(void **state)
{
    static const char *const load[] = {"FUNCTION", "LOAD"}, *const auth[] = {"AUTH", "x"};
    static const char *const record[] = {"SET", "rf:{p0}:partitions"};
    static const char *const version[] = {"FCALL", REDIS_FUNCTION("rf_version")};
    (void)state;
    assert_true(redis_hello_bearable(load, "OOM command not allowed when used memory > 'maxmemory'."));
    assert_true(redis_hello_bearable(load, "ERR Library '" FUNCTIONS_LIBRARY "' already exists"));
    assert_false(redis_hello_bearable(load, "ERR Function rf_open already exists"));
    assert_false(redis_hello_bearable(load, "ERR unknown command 'FUNCTION'"));
    assert_false(redis_hello_bearable(load, "NOPERM User worker has no permissions"));
    assert_false(redis_hello_bearable(version, "ERR Function not found"));
    assert_false(redis_hello_bearable(auth, "OOM command not allowed"));
    assert_true(redis_hello_bearable(record, "OOM command not allowed when used memory > 'maxmemory'."));
    assert_true(redis_hello_bearable(record, "MOVED 3999 127.0.0.1:6381"));
    assert_false(redis_hello_bearable(record, "NOPERM this user has no permissions"));
}

static void test_partitions(void **state)
{
    const struct key_space keys = {"rf", 16};
    char why[256];
    (void)state;
    assert_true(redis_partitions_fit(&keys, NULL, why, sizeof why));
    assert_true(redis_partitions_fit(&keys, "16", why, sizeof why));
    assert_false(redis_partitions_fit(&keys, "16x", why, sizeof why));
    assert_false(redis_partitions_fit(&keys, "1", why, sizeof why));
    assert_string_equal(why, "RINGFLEET_PARTITIONS is 16, but this fleet's Redis was set up with 1 (rf:{p0}:partitions)");
}

#define INFO_TEXT(version, aof, policy)                                                          \
    "# Server\r\nredis_version:" version "\r\nold_redis_version:1.0\r\n# Memory\r\n"             \
    "maxmemory_policy:" policy "\r\n# Persistence\r\naof_enabled:" aof "\r\naof_rewrites:0\r\n"

static void test_which_server_is_a_node_of_a_cluster(void **state)
{
    (void)state;
    assert_true(redis_is_cluster("# Server\r\nredis_mode:cluster\r\n# Cluster\r\ncluster_enabled:1\r\n"));
    assert_false(redis_is_cluster("# Cluster\r\ncluster_enabled:0\r\n"));
    assert_false(redis_is_cluster("# Server\r\nredis_mode:standalone\r\n"));
}

static void test_risks(void **state)
{
    static const struct {
        const char *info;
        bool usable;
        const char *said;
    } rows[] = {
        {INFO_TEXT("7.0.15", "1", "noeviction"), true, ""},
        {INFO_TEXT("8.0.2", "1", "noeviction"), true, ""},
        {INFO_TEXT("10.0.0", "1", "noeviction"), true, ""},
        {INFO_TEXT("7.0.15", "0", "noeviction"), true,
         "appendonly is off: a Redis restart loses the journals of calls not yet flushed"},
        {INFO_TEXT("7.0.15", "1", "allkeys-lru"), true,
         "maxmemory-policy is allkeys-lru, not noeviction: full memory loses journals without an error"},
        {INFO_TEXT("7.2.4", "0", "volatile-ttl"), true,
         "appendonly is off and maxmemory-policy is volatile-ttl: a restart or full memory loses journals"},
        {INFO_TEXT("6.2.14", "1", "noeviction"), false,
         "Redis 6.2.14 is too old: 7.0 or newer is needed (functions)"},
        {"", false, "Redis ? is too old: 7.0 or newer is needed (functions)"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char sentence[256] = "left over";
        assert_int_equal(redis_risk(rows[i].info, sentence, sizeof sentence), rows[i].usable);
        assert_string_equal(sentence, rows[i].said);
    }
}

static void test_memory(void **state)
{
    static const struct {
        const char *info;
        int percent;
    } rows[] = {
        {"used_memory:50\r\nused_memory_human:50B\r\nmaxmemory:200\r\n", 25},
        {"used_memory_peak:400\r\nused_memory:199\r\nmaxmemory_human:1G\r\nmaxmemory:200\r\n", 99},
        {"used_memory:6442450944\r\nmaxmemory:8589934592\r\n", 75},
        {"used_memory:50\r\nmaxmemory:0\r\n", 0},
        {"used_memory:50\r\n", 0},
        {"maxmemory:x\r\nused_memory:50\r\n", 0},
        {"", 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(redis_memory_percent(rows[i].info), rows[i].percent);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_several_addresses),
        cmocka_unit_test(test_sentinel),
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_errors_tell_no_secret),
        cmocka_unit_test(test_hello),
        cmocka_unit_test(test_which_refusals_of_hello_are_borne),
        cmocka_unit_test(test_partitions),
        cmocka_unit_test(test_which_server_is_a_node_of_a_cluster),
        cmocka_unit_test(test_risks),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
