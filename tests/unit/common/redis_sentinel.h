/* A stand-in Sentinel in a process of its own: loopback only, it names the same primary to whoever asks, whatever the
 * others have agreed on. */
#pragma once
#include <stdint.h>
#include <sys/types.h>

struct redis_sentinel {
    pid_t pid;
    uint16_t port;
};

/* Zero s before the first start; a second one after a kill gets the same port. Returns when it accepts connections.
 * primary: a port of 127.0.0.1. */
void redis_sentinel_start(struct redis_sentinel *s, uint16_t primary);

/* The URL of three of them, from the first-th on. */
const char *redis_sentinel_url(const struct redis_sentinel s[3], int first, char out[128]);

/* SIGKILL, awaited. */
void redis_sentinel_kill(struct redis_sentinel *s);
