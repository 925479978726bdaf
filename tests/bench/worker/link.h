/* WebSockets over a bare epoll loop, both roles, plain or TLS: what the load and the floor relay are made
 * of. It does the least that works: one read a wake-up, one write a batch of messages, no checks of text. */
#pragma once
#include <openssl/ssl.h>

#include "worker/ws/ws_codec.h"
#include "worker/ws/ws_handshake.h"

enum {
    LINK_READ_BYTES = 262144,
    LINK_PUT_BYTES = 262144, /* messages between two writes */
    LINK_EVENTS = 64,        /* taken from the kernel at once, so that a turn stays short */
    LINK_SLICE_BYTES = LINK_READ_BYTES / LINK_EVENTS, /* of what is read ahead */
};

struct link;

struct link_events {
    void (*on_open)(struct link *l, void *arg);
    void (*on_text)(struct link *l, char *text, size_t len, void *arg);
    void (*on_closed)(struct link *l, const char *why, void *arg); /* the link is gone after it */
};

/* One thread's. */
struct link_loop {
    int epoll;
    SSL_CTX *client_tls, *server_tls; /* NULL: plain */
    bool reads_ahead;                 /* a turn reads from all plain links that have something before it handles any */
    bool stamps;                      /* links ask the kernel when bytes came; set it before the first */
    int64_t woke_ns;                  /* wall clock, when the events at hand were there */
    int64_t came_ns;                  /* when the last of what was read came, by the kernel's clock; without stamps woke_ns */
    int listener;                     /* -1: none */
    void (*on_accept)(struct link_loop *loop, int fd);
    uint32_t mask_seed;
    struct link *dead; /* freed after the turn */
    uint64_t reads, writes, waits;
    size_t put_len;
    uint8_t read_buf[LINK_READ_BYTES];
    uint8_t slices[LINK_EVENTS][LINK_SLICE_BYTES];
    uint8_t put_buf[LINK_PUT_BYTES];
};

void link_loop_init(struct link_loop *loop);

/* certificate and key: PEM files. Every accepted link is TLS from then on. */
void link_serve_tls(struct link_loop *loop, const char *certificate, const char *key);
/* Every dialled link is TLS from then on; the certificate is checked against trusted. */
void link_dial_tls(struct link_loop *loop, const char *trusted);

void link_listen(struct link_loop *loop, int port, void (*on_accept)(struct link_loop *loop, int fd));

/* Waits at most that long and handles what came. */
void link_turn(struct link_loop *loop, int64_t timeout_ns);

struct link *link_dial(struct link_loop *loop, int port, const char *path, const char *headers,
                       const struct link_events *on, void *arg);
struct link *link_accept(struct link_loop *loop, int fd, const struct link_events *on, void *arg);

/* Where the next message's text is built; link_put makes a frame of it, link_flush writes all frames
 * that were put, at once. Nothing else may be put on another link in between. */
char *link_room(struct link *l);
void link_put(struct link *l, size_t len);
void link_flush(struct link *l);

/* The loop does not look after it any more, or does so again: meanwhile it costs nobody a wake-up, and link_look reads
 * what came. Plain only. */
void link_unwatch(struct link *l);
void link_rewatch(struct link *l);
void link_look(struct link *l);

/* All three in one. */
void link_say(struct link *l, const char *text, size_t len);

/* Closes without a callback. Accepts NULL. */
void link_close(struct link *l);

int64_t wall_ns(void);
int64_t mono_ns(void);
void die(const char *what);
