/* A private redis-server for one test: loopback only, a free port, its own directory, gone with the
 * test however that ends. */
#pragma once
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: not running */
    uint16_t port;
    int log;      /* read end of its stdout */
    bool durable; /* set before the start: AOF, so that data outlives a kill */
    uint16_t bus_port; /* set before the start: it is a node of a cluster, and talks to the others there */
    char dir[40]; /* also holds its unix socket, redis.sock */
};

/* Zero s before the first start; a second one after a stop gets the same port. password: NULL for
 * none. Returns when the server accepts connections. */
void redis_server_start(struct redis_server *s, const char *password);

/* SIGKILL, awaited. */
void redis_server_kill(struct redis_server *s);

/* Kills it if it runs and removes its directory. */
void redis_server_release(struct redis_server *s);

/* One command from outside, over a connection of its own; fails the test on an error reply. */
void redis_server_do(const struct redis_server *s, const char *password, const char *format, ...);

/* The text with the word PORT replaced: "redis://127.0.0.1:PORT/3". */
const char *redis_server_url(const struct redis_server *s, const char *text, char out[128]);
