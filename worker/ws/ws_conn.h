/* A WebSocket on the loop: joins a socket to the pure codecs (ws_codec, ws_handshake). Text
 * messages only, both legs of a call speak JSON. Pings are answered, closes are shaken. */
#pragma once
#include "worker/worker.h"
#include "worker/ws/ws_codec.h"
#include "worker/ws/ws_handshake.h"

struct ws_conn;

struct ws_handler {
    /* Server: a request came in. 0 accepts it; otherwise an HTTP status to refuse it with. The
     * handler may be exchanged with ws_set_handler before returning 0. */
    int (*on_request)(struct ws_conn *ws, const struct ws_request *request, void *arg);
    void (*on_open)(struct ws_conn *ws, void *arg);
    /* One text message, UTF-8, in the loop's buffer: may be scribbled on, gone afterwards. */
    void (*on_text)(struct ws_conn *ws, char *text, size_t len, void *arg);
    /* Once: the peer closed (code of its close frame), the connection failed (WS_CLOSE_ABNORMAL), or
     * the peer broke a rule (code of ours; ws_fault). The conn is gone after it. Never after ws_close. */
    void (*on_closed)(struct ws_conn *ws, uint16_t code, const char *why, void *arg);
    /* All messages that one read brought have been handed out. May be NULL. */
    void (*on_read)(struct ws_conn *ws, void *arg);
};

enum {
    WS_HANDSHAKE_SECONDS = 10, /* from the first byte, or the dial, to the open connection */
    WS_LINGER_SECONDS = 2,     /* for the peer's answer to our close */
};

/* What a peer may send, in units: one per frame, and one per WS_UNIT_BYTES of it. A carrier sends 50
 * frames a second, a unit each, and at most what it held back through a stall of the network. An AI
 * speaks many times faster than real time, and echoes whole prompts. */
enum {
    WS_UNIT_BYTES = 512,
    WS_SERVER_UNITS = 200, /* a second, from those who dial us */
    WS_SERVER_BURST = 3000,
    WS_CLIENT_UNITS = 10000, /* a second, from those we dial */
    WS_CLIENT_BURST = 50000,
    WS_SERVER_QUEUE_MAX = 512 * 1024, /* bytes the peer has not read: some 48 s of audio */
};

/* Takes over an accepted descriptor. NULL (and fd closed) when out of memory. */
RF_NODISCARD struct ws_conn *ws_accept(struct worker *w, int fd, size_t max_message, const struct ws_handler *handler,
                                       void *arg);

/* Dials the AI provider; target must outlive the dialling. NULL when out of memory; other failures
 * come as on_closed. */
RF_NODISCARD struct ws_conn *ws_dial(struct worker *w, const struct ai_target *target, size_t max_message,
                                     const struct ws_handler *handler, void *arg);

/* In on_closed: the rule the peer broke, or FAULT_NONE. */
enum peer_fault ws_fault(const struct ws_conn *ws);

/* In on_closed: what who was dialled has answered instead of 101, or 0. */
int ws_http_status(const struct ws_conn *ws);

void ws_set_handler(struct ws_conn *ws, const struct ws_handler *handler, void *arg);

/* Where to write a message without copying it: *size bytes, until the next call of this loop.
 * Then ws_send_room sends the first len of them. */
char *ws_room(struct ws_conn *ws, size_t *size);
void ws_send_room(struct ws_conn *ws, size_t len);

/* Any length; copies, and does not wait for the end of the reads at hand (see sock_send): somebody waits for an
 * answer to it. */
void ws_send_text(struct ws_conn *ws, const char *text, size_t len);

/* See sock_wait_for. Accepts NULL. */
void ws_wait_for(struct ws_conn *ws, size_t bytes);

/* Says goodbye with the code and reason and lets go of the handler at once: no callback comes any
 * more, the rest of the closing happens on its own. Accepts NULL. */
void ws_close(struct ws_conn *ws, uint16_t code, const char *reason);

/* Ends without a word to anybody; for the end of the loop. */
void ws_abandon(struct ws_conn *ws);
