#include "common/redis/url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/http.h>

#include "common/redis/functions.h"
#include "common/redis/redirect.h"
#include "common/redis/tls.h"
#include "redis_functions.h"

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

static const char *take_db(struct redis_url *url, const char *path)
{
    char *end;
    long db;
    if (!*path || strcmp(path, "/") == 0)
        return NULL;
    db = strtol(path + 1, &end, 10);
    if (end == path + 1 || *end || db < 0 || db > 1023)
        return "the database after the host must be a number from 0";
    url->db = (int)db;
    return NULL;
}

/* /<master>[/<db>] */
static const char *take_master(struct redis_url *url, const char *path)
{
    size_t len = *path == '/' ? strcspn(path + 1, "/") : 0;
    if (len == 0)
        return "the name of the master is missing: redis+sentinel://host:port[,host:port]/<master>[/<db>]";
    url->master = decoded(path + 1, len);
    return url->master ? take_db(url, path + 1 + len) : "out of memory";
}

/* An IPv6 address stands in brackets in a URL, and in no other place. */
static const char *take_place(struct redis_url *url, const char *text, size_t len, int default_port)
{
    char as_url[320];
    struct evhttp_uri *uri = NULL;
    const char *host, *wrong = "it is not a URL";
    if (len > 0 && snprintf(as_url, sizeof as_url, "redis://%.*s", (int)len, text) < (int)sizeof as_url)
        uri = evhttp_uri_parse(as_url);
    if (!uri)
        return len == 0 ? "the host is missing" : wrong;
    host = evhttp_uri_get_host(uri);
    if (host && *host && url->place_count < REDIS_PLACES_MAX) {
        size_t brackets = *host == '[' ? 1 : 0;
        int port = evhttp_uri_get_port(uri);
        bool set = redis_place_set(&url->places[url->place_count++], host + brackets, strlen(host) - 2 * brackets,
                                   port < 0 ? default_port : port);
        wrong = set ? NULL : wrong;
    } else {
        wrong = host && *host ? "there are too many addresses" : "the host is missing";
    }
    evhttp_uri_free(uri);
    return wrong;
}

static const char *take_places(struct redis_url *url, const char *text, const char *end, int default_port)
{
    const char *wrong = NULL;
    while (!wrong) {
        size_t len = strcspn(text, ",/?#");
        wrong = take_place(url, text, len, default_port);
        text += len;
        if (text >= end)
            return wrong;
        text++;
    }
    return wrong;
}

static const struct scheme {
    const char *name;
    int port;
    bool tls;
} schemes[] = {
    {"redis", 6379, false},
    {"rediss", 6379, true},
    {"redis+sentinel", 26379, false},
    {"rediss+sentinel", 26379, true},
    {"unix", 0, false},
};

static const struct scheme *scheme_of(const struct evhttp_uri *uri)
{
    for (size_t i = 0; i < ARRAY_LEN(schemes); i++) {
        if (strcmp(evhttp_uri_get_scheme(uri), schemes[i].name) == 0)
            return &schemes[i];
    }
    return NULL;
}

/* uri: the text with another host in place of the addresses, which stand from hosts to end. */
static const char *take_parts(struct redis_url *url, const struct evhttp_uri *uri, const char *hosts, const char *end)
{
    const struct scheme *scheme = scheme_of(uri);
    const char *path = evhttp_uri_get_path(uri), *userinfo = evhttp_uri_get_userinfo(uri), *wrong;
    if (!scheme)
        return "wanted redis://, rediss://, redis+sentinel:// or unix://";
    if (evhttp_uri_get_query(uri) || evhttp_uri_get_fragment(uri))
        return "nothing may stand behind ? or # (in a password they are %3F and %23)";
    if (userinfo && *userinfo && !take_userinfo(url, userinfo))
        return "cannot decode user and password";
    if (scheme->port == 0) {
        if (hosts != end || *path != '/')
            return "wanted unix:///path/to/socket";
        url->unix_path = strdup(path);
        return url->unix_path ? NULL : "out of memory";
    }
    url->tls = scheme->tls;
    if (url->tls && !redis_tls_built())
        return "this build's hiredis has no TLS: build where hiredis_ssl is (Debian 13), or put a tunnel before Redis";
    wrong = take_places(url, hosts, end, scheme->port);
    if (wrong)
        return wrong;
    return strstr(scheme->name, "sentinel") ? take_master(url, path) : take_db(url, path);
}

/* Libevent's parser knows one host, a comma is none of its letters: the addresses are taken out for it. */
static struct evhttp_uri *parse_without(const char *text, const char *hosts, const char *end)
{
    char *one_host = malloc(strlen(text) + 2);
    struct evhttp_uri *uri = NULL;
    if (one_host) {
        sprintf(one_host, "%.*sh%s", (int)(hosts - text), text, end);
        uri = evhttp_uri_parse(one_host);
    }
    free(one_host);
    return uri;
}

int redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size)
{
    const char *hosts = strstr(text, "://"), *end, *wrong = "it is not a URL";
    struct evhttp_uri *uri = NULL;
    memset(url, 0, sizeof *url);
    if (hosts) {
        hosts += 3;
        end = hosts + strcspn(hosts, "/?#");
        for (const char *at = hosts; at < end; at++)
            hosts = *at == '@' ? at + 1 : hosts;
        uri = parse_without(text, hosts, end);
    }
    if (uri) {
        wrong = take_parts(url, uri, hosts, end);
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
    free(url->unix_path);
    free(url->user);
    free(url->password);
    free(url->master);
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
    if (url->master && step-- == 2)
        return put(argv, "ROLE", NULL, NULL, NULL);
    if (step == 2)
        return put(argv, "FUNCTION", "LOAD", redis_functions[0].text, NULL);
    if (step == 3)
        return put(argv, "FCALL", REDIS_FUNCTION("rf_version"), "0", NULL);
    if (step == 4 && keys)
        return put_partitions(argv, keys, room);
    return 0;
}

bool redis_hello_bearable(const char *const *argv, const char *error)
{
    bool full = strncmp(error, "OOM ", 4) == 0, elsewhere = redirect_parse(error).kind != REDIRECT_NONE;
    if (strcmp(argv[0], "SET") == 0 || strcmp(argv[0], "GET") == 0)
        return full || elsewhere;
    if (strcmp(argv[0], "FUNCTION") == 0)
        return full || strstr(error, "Library '" FUNCTIONS_LIBRARY "' already exists");
    return strcmp(argv[0], "INFO") == 0;
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

bool redis_is_cluster(const char *info)
{
    char enabled[4] = "";
    info_value(info, "cluster_enabled", enabled, sizeof enabled);
    return strcmp(enabled, "1") == 0;
}
