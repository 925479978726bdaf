/* RINGFLEET_REDIS_URL taken apart, and what every connection sends first. */
#pragma once
#include "common/base/base.h"
#include "common/redis/keys.h"
#include "common/redis/place.h"

enum { REDIS_PLACES_MAX = 16 };

struct redis_url {
    struct redis_place places[REDIS_PLACES_MAX]; /* none with a unix socket */
    int place_count;
    char *unix_path; /* NULL with TCP */
    char *user;      /* NULL: the default user */
    char *password;  /* NULL: no AUTH */
    char *master;    /* the places are Sentinels', and this is what they call it; NULL: they are the servers' */
    bool tls;
    int db;
};

/* redis://[user:pass@]host:port[,host:port][/db], where several addresses are nodes of one cluster;
 * redis+sentinel://[user:pass@]host:port[,host:port]/master[/db]; both with rediss for TLS, if this build has it;
 * or unix:///path. 0, or -1 with one sentence in error. */
RF_NODISCARD int redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size);
void redis_url_release(struct redis_url *url);

enum { REDIS_HELLO_ARGS = 5 };

/* Room for the words of hello that are made, not borrowed. */
struct redis_hello_room {
    char db[12], key[KEY_SIZE], partitions[12];
};

/* Fills argv with the step-th command a fresh connection must send (AUTH, SELECT, CLIENT SETNAME,
 * INFO for redis_risk, with Sentinel ROLE for redis_is_primary, FUNCTION LOAD of functions/, a look whether its
 * functions answer, SET of the partitions for redis_partitions_fit) and returns its argument count; 0 when there are
 * no more. The strings are borrowed from url, name, room and the binary. keys NULL: the fleet's partitions do not
 * matter. */
int redis_hello(const struct redis_url *url, const struct key_space *keys, const char *name, int step,
                const char *argv[REDIS_HELLO_ARGS], struct redis_hello_room *room);

/* True if the hello may go on although the server answered this command with this error: INFO is
 * only a look, the functions may be there, a Redis that is full refuses to load what it may have from
 * before (the next step tells), yet must be drained, and the partitions are recorded with one node of a cluster. */
bool redis_hello_bearable(const char *const *argv, const char *error);

/* The first program that says hello to a fleet's Redis records its number of partitions; recorded is what was there
 * before (NULL: nothing). false, with one sentence: ours is another, so that nothing of the fleet's would be found. */
RF_NODISCARD bool redis_partitions_fit(const struct key_space *keys, const char *recorded, char *sentence, size_t size);

/* Reads the reply of INFO and writes what is at risk with this server as one sentence ("" if
 * nothing): no AOF, an eviction policy that loses journals. false: it is older than Redis 7.0 and
 * cannot serve (functions are missing); the sentence says so. */
RF_NODISCARD bool redis_risk(const char *info, char *sentence, size_t size);

/* How full the server is, from the same reply: percent of maxmemory; 0 where there is no such bound. */
int redis_memory_percent(const char *info);

/* Whether an INFO text is of a node of a cluster. */
bool redis_is_cluster(const char *info);
