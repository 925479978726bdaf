#include "common/redis/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "redis_functions.h"

enum { REDIS_DEFAULT_PORT = 6379 };

static char *decoded(const char *text, size_t len)
{
    char *part = strndup(text, len), *out = NULL;
    if (part)
        out = evhttp_uridecode(part, 0, NULL);
    free(part);
    return out;
}

static bool take_userinfo(struct redis_url *url, const char *userinfo)
{
    const char *colon = strchr(userinfo, ':');
    size_t user_len = colon ? (size_t)(colon - userinfo) : 0;
    const char *password = colon ? colon + 1 : userinfo;
    url->password = decoded(password, strlen(password));
    if (user_len > 0)
        url->user = decoded(userinfo, user_len);
    return url->password && (user_len == 0 || url->user);
}

static bool take_db(struct redis_url *url, const char *path)
{
    char *end;
    long db;
    if (!path || !*path || strcmp(path, "/") == 0)
        return true;
    db = strtol(path + 1, &end, 10);
    if (end == path + 1 || *end || db < 0 || db > 1023)
        return false;
    url->db = (int)db;
    return true;
}

/* An IPv6 address stands in brackets in a URL, and in no other place. */
static char *bare_host(const char *host)
{
    size_t len = strlen(host);
    return host[0] == '[' && host[len - 1] == ']' ? strndup(host + 1, len - 2) : strdup(host);
}

static const char *take_parts(struct redis_url *url, const struct evhttp_uri *uri)
{
    const char *scheme = evhttp_uri_get_scheme(uri), *path = evhttp_uri_get_path(uri);
    const char *host = evhttp_uri_get_host(uri), *userinfo = evhttp_uri_get_userinfo(uri);
    int port = evhttp_uri_get_port(uri);
    if (userinfo && *userinfo && !take_userinfo(url, userinfo))
        return "cannot decode user and password";
    if (scheme && strcmp(scheme, "unix") == 0) {
        if (!path || *path != '/')
            return "wanted unix:///path/to/socket";
        url->unix_path = strdup(path);
        return url->unix_path ? NULL : "out of memory";
    }
    if (!scheme || strcmp(scheme, "redis") != 0)
        return "wanted redis:// or unix://";
    if (!host || !*host)
        return "the host is missing";
    if (!take_db(url, path))
        return "the database after the host must be a number from 0";
    url->port = port > 0 ? (uint16_t)port : REDIS_DEFAULT_PORT;
    url->host = bare_host(host);
    return url->host ? NULL : "out of memory";
}

int redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size)
{
    struct evhttp_uri *uri = evhttp_uri_parse(text);
    const char *wrong = "it is not a URL";
    memset(url, 0, sizeof *url);
    if (uri) {
        wrong = take_parts(url, uri);
        evhttp_uri_free(uri);
    }
    if (!wrong)
        return 0;
    snprintf(error, error_size, "Redis URL: %s", wrong);
    redis_url_release(url);
    return -1;
}

void redis_url_release(struct redis_url *url)
{
    free(url->host);
    free(url->unix_path);
    free(url->user);
    free(url->password);
    memset(url, 0, sizeof *url);
}

static int put(const char **argv, const char *a, const char *b, const char *c, const char *d)
{
    int n = 0;
    const char *const args[] = {a, b, c, d};
    while (n < 4 && args[n]) {
        argv[n] = args[n];
        n++;
    }
    return n;
}

/* Written if nothing is there; the answer is what was there. */
static int put_partitions(const char **argv, const struct key_space *keys, struct redis_hello_room *room)
{
    snprintf(room->partitions, sizeof room->partitions, "%d", keys->partitions);
    argv[0] = "SET";
    argv[1] = key_of_partition(room->key, keys, KEY_PARTITIONS, 0);
    argv[2] = room->partitions;
    argv[3] = "NX";
    argv[4] = "GET";
    return 5;
}

int redis_hello(const struct redis_url *url, const struct key_space *keys, const char *name, int step,
                const char *argv[REDIS_HELLO_ARGS], struct redis_hello_room *room)
{
    if (url->password && step-- == 0)
        return url->user ? put(argv, "AUTH", url->user, url->password, NULL)
                         : put(argv, "AUTH", url->password, NULL, NULL);
    if (url->db > 0 && step-- == 0) {
        snprintf(room->db, sizeof room->db, "%d", url->db);
        return put(argv, "SELECT", room->db, NULL, NULL);
    }
    if (step == 0)
        return put(argv, "CLIENT", "SETNAME", name, NULL);
    if (step == 1)
        return put(argv, "INFO", NULL, NULL, NULL);
    if (step == 2)
        return put(argv, "FUNCTION", "LOAD", "REPLACE", redis_functions[0].text);
    if (step == 3 && keys)
        return put_partitions(argv, keys, room);
    return 0;
}

bool redis_hello_bearable(const char *const *argv, const char *error)
{
    bool full = strncmp(error, "OOM ", 4) == 0, elsewhere = strncmp(error, "MOVED ", 6) == 0;
    if (strcmp(argv[0], "SET") == 0 || strcmp(argv[0], "GET") == 0)
        return full || elsewhere;
    return strcmp(argv[0], "INFO") == 0 || (strcmp(argv[0], "FUNCTION") == 0 && full);
}

bool redis_partitions_fit(const struct key_space *keys, const char *recorded, char *sentence, size_t size)
{
    char key[KEY_SIZE], *end;
    if (!recorded || (strtol(recorded, &end, 10) == keys->partitions && !*end))
        return true;
    snprintf(sentence, size, "RINGFLEET_PARTITIONS is %d, but this fleet's Redis was set up with %.12s (%s)",
             keys->partitions, recorded, key_of_partition(key, keys, KEY_PARTITIONS, 0));
    return false;
}

/* Value of "name:value\r\n" in an INFO text. */
static bool info_value(const char *info, const char *name, char *out, size_t size)
{
    size_t len = strlen(name);
    for (const char *at = info; (at = strstr(at, name)); at += len) {
        if ((at == info || at[-1] == '\n') && at[len] == ':') {
            const char *value = at + len + 1;
            snprintf(out, size, "%.*s", (int)strcspn(value, "\r\n"), value);
            return true;
        }
    }
    return false;
}

bool redis_risk(const char *info, char *sentence, size_t size)
{
    char version[32] = "?", aof[8] = "?", policy[32] = "?";
    info_value(info, "redis_version", version, sizeof version);
    info_value(info, "aof_enabled", aof, sizeof aof);
    info_value(info, "maxmemory_policy", policy, sizeof policy);
    *sentence = '\0';
    if (atoi(version) < 7) {
        snprintf(sentence, size, "Redis %s is too old: 7.0 or newer is needed (functions)", version);
        return false;
    }
    if (strcmp(aof, "1") != 0 && strcmp(policy, "noeviction") != 0)
        snprintf(sentence, size, "appendonly is off and maxmemory-policy is %s: a restart or full memory loses journals",
                 policy);
    else if (strcmp(aof, "1") != 0)
        snprintf(sentence, size, "appendonly is off: a Redis restart loses the journals of calls not yet flushed");
    else if (strcmp(policy, "noeviction") != 0)
        snprintf(sentence, size, "maxmemory-policy is %s, not noeviction: full memory loses journals without an error",
                 policy);
    return true;
}

int redis_memory_percent(const char *info)
{
    char used[32] = "0", bound[32] = "0";
    double most;
    info_value(info, "used_memory", used, sizeof used);
    info_value(info, "maxmemory", bound, sizeof bound);
    most = strtod(bound, NULL);
    return most > 0 ? (int)(strtod(used, NULL) * 100 / most) : 0;
}
