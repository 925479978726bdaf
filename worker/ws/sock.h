/* A stream socket on the loop, plain or TLS, that writes at once and waits only when it must.
 *
 * Not a bufferevent: those cost a quarter more CPU per audio frame (they arm and disarm the write
 * event around each write, and copy everything twice). Bytes that arrive are handed out of a buffer
 * shared by the whole loop; only a part of a frame that must wait for the rest is kept. */
#pragma once
#include <sys/socket.h>

#include "worker/worker.h"

struct sock;

enum {
    SOCK_QUEUE_MAX = 4 << 20,  /* unsent bytes; a peer that reads slower than that is cut off */
    SOCK_READS_PER_WAKE = 4,   /* so that one flooding peer cannot hold the loop */
    SOCK_SILENT_MS = 4000,     /* connected sockets: a peer that acknowledges nothing for so long is gone; a caller's last
                                  five seconds are kept for the next one (TAIL_BLOCKS_MAX) */
    SOCK_IDLE_SECONDS = 20,    /* with nothing to acknowledge it is asked after so long */
    SOCK_KERNEL_BYTES = 131072, /* accepted sockets: what the kernel may hold for each direction */
};

struct sock_handler {
    void (*on_open)(void *arg); /* connected, and TLS agreed; never for accepted sockets */
    /* Returns how many bytes it used; the others come again, with what follows them. The buffer may
     * be scribbled on. */
    size_t (*on_bytes)(void *arg, uint8_t *buf, size_t len);
    /* Once, from the loop, never from inside sock_send. Only sock_free is left to do. */
    void (*on_closed)(void *arg, const char *why);
};

/* Takes over an accepted, non-blocking descriptor. NULL (and fd closed) when out of memory. */
RF_NODISCARD struct sock *sock_accept(struct worker *w, int fd, const struct sock_handler *handler, void *arg);

/* Connects; server_name selects TLS with that name checked against the certificate. NULL when out
 * of memory or descriptors; later failures come as on_closed. */
RF_NODISCARD struct sock *sock_connect(struct worker *w, const struct sockaddr *addr, socklen_t len,
                                       const char *server_name, const struct sock_handler *handler, void *arg);

/* Sends or queues all of it, unless the socket has failed (which on_closed will tell, or told). While sockets are
 * read, it is gathered, with what others send, until those that had something have been read. w: its worker's. */
void sock_send(struct worker *w, struct sock *s, const void *bytes, size_t len);

/* What was gathered leaves now. */
void sock_uncork(struct worker *w);

/* Bytes that wait to be sent. */
size_t sock_queued(const struct sock *s);

/* Most unsent bytes, if not SOCK_QUEUE_MAX. */
void sock_set_queue_max(struct sock *s, size_t bytes);

/* In on_closed: the peer left more than that unread. */
bool sock_was_slow(const struct sock *s);

/* Nothing that comes is read any more; what waits is sent, then the end of our side. The owner frees
 * the socket after a while: closing it now could discard our last words on their way. Plain only. */
void sock_finish(struct sock *s);

/* What comes is told of once there is so much of it, or the peer has closed; at first, and with 0, at once. */
void sock_wait_for(struct sock *s, size_t bytes);

/* Most bytes kept for a frame that is not complete; past it the socket fails. */
void sock_set_held_max(struct sock *s, size_t bytes);

/* From now on it has failed, which on_closed tells from the loop. why: static. */
void sock_fail(struct sock *s, const char *why);

/* Closes; no callback comes any more. May be called from inside any callback; accepts NULL. */
void sock_free(struct sock *s);
