/* RINGFLEET_REDIS_URL taken apart, and what every connection sends first. */
#pragma once
#include "common/base/base.h"

struct redis_url {
    char *host;      /* NULL with a unix socket */
    uint16_t port;
    char *unix_path; /* NULL with TCP */
    char *user;      /* NULL: the default user */
    char *password;  /* NULL: no AUTH */
    int db;
};

/* redis://[user:pass@]host:port[/db] or unix:///path. 0, or -1 with one sentence in error. */
RF_NODISCARD int redis_url_parse(const char *text, struct redis_url *url, char *error, size_t error_size);
void redis_url_release(struct redis_url *url);

enum { REDIS_HELLO_ARGS = 5 };

/* Fills argv with the step-th command a fresh connection must send (AUTH, SELECT, CLIENT SETNAME,
 * INFO for redis_risk, FUNCTION LOAD of ringfleet.lua) and returns its argument count; 0 when there
 * are no more. The strings are borrowed from url, name and the binary; db_text holds the number
 * that SELECT needs. */
int redis_hello(const struct redis_url *url, const char *name, int step, const char *argv[REDIS_HELLO_ARGS],
                char db_text[12]);

/* True if the hello may go on although the server answered this command with this error: INFO is
 * only a look, and a Redis that is full refuses to load the functions it has from before, yet must
 * be drained. */
bool redis_hello_bearable(const char *const *argv, const char *error);

/* Reads the reply of INFO and writes what is at risk with this server as one sentence ("" if
 * nothing): no AOF, an eviction policy that loses journals. false: it is older than Redis 7.0 and
 * cannot serve (functions are missing); the sentence says so. */
RF_NODISCARD bool redis_risk(const char *info, char *sentence, size_t size);
