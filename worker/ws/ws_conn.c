#include "worker/ws/ws_conn.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <event2/util.h>

#include "common/base/base64.h"
#include "worker/ws/bucket.h"
#include "worker/ws/sock.h"

enum state {
    STATE_REQUEST,   /* server: waits for the request's head */
    STATE_RESOLVING, /* client, from here */
    STATE_CONNECTING,
    STATE_RESPONSE,
    STATE_OPEN,      /* both */
    STATE_LINGERING, /* our close is sent; nobody listens to us any more */
    STATE_GONE
};

struct ws_conn {
    struct worker *w;
    enum state state;
    enum peer_fault fault;
    int http_status; /* of a dial that was refused */
    struct bucket bucket; /* what the peer has sent */
    struct sock *sock;
    struct ws_decoder decoder;
    const struct ws_handler *handler;
    void *arg; /* up to here: what every frame touches */
    struct ws_conn *next, *prev; /* the worker's list */
    char *message; /* fragments so far */
    size_t message_len;
    const struct ai_target *target; /* client */
    struct resolve_request *resolving;
    const char *no_address; /* client: why the dial failed before there was a socket */
    char key[WS_KEY_SIZE];
    struct event deadline;
    struct deferred deferred;
};

static void release(void *arg)
{
    struct ws_conn *ws = arg;
    free(ws);
}

static void let_go(struct ws_conn *ws)
{
    if (ws->state == STATE_GONE)
        return;
    ws->state = STATE_GONE;
    *(ws->prev ? &ws->prev->next : &ws->w->conns) = ws->next;
    if (ws->next)
        ws->next->prev = ws->prev;
    metric_add(&ws->w->metrics.websockets, (uint64_t)-1);
    resolve_cancel(ws->resolving);
    sock_free(ws->sock);
    event_del(&ws->deadline);
    free(ws->message);
    worker_defer(ws->w, &ws->deferred, release, ws);
}

/* The connection is over; the owner, if there is one, hears it last. */
static void over(struct ws_conn *ws, uint16_t code, const char *why)
{
    bool tell = ws->state != STATE_LINGERING && ws->state != STATE_GONE && ws->handler->on_closed;
    let_go(ws);
    if (tell)
        ws->handler->on_closed(ws, code, why, ws->arg);
}

static bool is_server(const struct ws_conn *ws)
{
    return ws->decoder.masked;
}

static void blame(struct ws_conn *ws, enum peer_fault fault)
{
    struct worker_metrics *m = &ws->w->metrics;
    ws->fault = fault;
    metric_add(is_server(ws) ? &m->carrier_faults[fault] : &m->ai_faults[fault], 1);
}

static void arm(struct ws_conn *ws, int seconds)
{
    struct timeval tv = {seconds, 0};
    event_add(&ws->deadline, &tv);
}

static void on_deadline(evutil_socket_t fd, short what, void *arg)
{
    struct ws_conn *ws = arg;
    (void)fd;
    (void)what;
    if (!ws->no_address && ws->state != STATE_LINGERING)
        blame(ws, FAULT_TIMEOUT);
    over(ws, WS_CLOSE_ABNORMAL, ws->no_address ? ws->no_address : "no WebSocket handshake in time");
}

/* Four bytes that nobody can foresee (RFC 6455 section 5.3). */
static void take_mask(struct worker *w, uint8_t mask[4])
{
    if (w->masks_left == 0) {
        evutil_secure_rng_get_bytes(w->masks, sizeof w->masks);
        w->masks_left = sizeof w->masks;
    }
    w->masks_left -= 4;
    memcpy(mask, w->masks + w->masks_left, 4);
}

/* The payload lies in front of us with WS_HEAD_MAX bytes of room before it. */
static void send_frame(struct ws_conn *ws, enum ws_opcode opcode, uint8_t *payload, size_t len)
{
    uint8_t head[WS_HEAD_MAX], mask[4];
    bool client = !is_server(ws);
    size_t n;
    if (client)
        take_mask(ws->w, mask);
    n = ws_encode_head(head, opcode, len, client ? mask : NULL);
    if (client)
        ws_mask(payload, len, mask);
    memcpy(payload - n, head, n);
    sock_send(ws->w, ws->sock, payload - n, n + len);
}

static void send_control(struct ws_conn *ws, enum ws_opcode opcode, const uint8_t *data, size_t len)
{
    uint8_t frame[WS_HEAD_MAX + WS_CONTROL_MAX];
    memcpy(frame + WS_HEAD_MAX, data, len);
    send_frame(ws, opcode, frame + WS_HEAD_MAX, len);
}

static void send_close(struct ws_conn *ws, uint16_t code, const char *reason)
{
    uint8_t payload[WS_CONTROL_MAX];
    size_t len = strlen(reason);
    if (len > sizeof payload - 2)
        len = sizeof payload - 2;
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    memcpy(payload + 2, reason, len);
    send_control(ws, WS_CLOSE, payload, len + 2);
}

char *ws_room(struct ws_conn *ws, size_t *size)
{
    *size = sizeof ws->w->write_buf - WS_HEAD_MAX;
    return (char *)ws->w->write_buf + WS_HEAD_MAX;
}

void ws_send_room(struct ws_conn *ws, size_t len)
{
    if (ws->state == STATE_OPEN)
        send_frame(ws, WS_TEXT, ws->w->write_buf + WS_HEAD_MAX, len);
}

static void send_text(struct ws_conn *ws, const char *text, size_t len)
{
    size_t room_size;
    char *room = ws_room(ws, &room_size);
    uint8_t *large;
    if (len <= room_size) {
        memcpy(room, text, len);
        ws_send_room(ws, len);
        return;
    }
    if (ws->state != STATE_OPEN)
        return;
    large = malloc(WS_HEAD_MAX + len);
    if (!large) {
        sock_fail(ws->sock, "out of memory"); /* the owner, who is in the middle of something, hears it from the loop */
        return;
    }
    memcpy(large + WS_HEAD_MAX, text, len);
    send_frame(ws, WS_TEXT, large + WS_HEAD_MAX, len);
    free(large);
}

void ws_send_text(struct ws_conn *ws, const char *text, size_t len)
{
    struct worker *w = ws->w;
    send_text(ws, text, len);
    sock_uncork(w);
}

void ws_close(struct ws_conn *ws, uint16_t code, const char *reason)
{
    if (!ws || ws->state >= STATE_LINGERING)
        return;
    if (ws->state != STATE_OPEN) {
        let_go(ws);
        return;
    }
    send_close(ws, code, reason);
    ws->state = STATE_LINGERING;
    arm(ws, WS_LINGER_SECONDS);
}

/* What was wrong, for the counters; the code says the same to the peer. */
static enum peer_fault fault_of(uint16_t code)
{
    switch (code) {
    case WS_CLOSE_UNSUPPORTED: return FAULT_UNSUPPORTED;
    case WS_CLOSE_BAD_UTF8: return FAULT_BAD_UTF8;
    case WS_CLOSE_TOO_BIG: return FAULT_TOO_BIG;
    case WS_CLOSE_POLICY: return FAULT_FLOOD;
    default: return FAULT_PROTOCOL;
    }
}

/* The peer broke a rule: it is told which, and the owner as well. Nothing more is read. */
static void refuse(struct ws_conn *ws, uint16_t code, const char *why)
{
    bool tell = ws->state == STATE_OPEN;
    if (code != WS_CLOSE_INTERNAL)
        blame(ws, fault_of(code));
    if (tell)
        send_close(ws, code, why);
    if (!tell || !is_server(ws)) {
        over(ws, code, why);
        return;
    }
    sock_finish(ws->sock);
    ws->state = STATE_LINGERING;
    arm(ws, WS_LINGER_SECONDS);
    ws->handler->on_closed(ws, code, why, ws->arg);
}

/* RFC 6455 section 7.4, and the codes registered since (1012 to 1014). */
static bool close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

static void on_close_frame(struct ws_conn *ws, const struct ws_frame *f)
{
    uint16_t code = WS_CLOSE_NO_STATUS;
    char why[WS_CONTROL_MAX];
    if (f->len >= 2)
        code = (uint16_t)(f->data[0] << 8 | f->data[1]);
    if (f->len == 1 || (f->len >= 2 && !close_code_valid(code))) {
        refuse(ws, WS_CLOSE_PROTOCOL, "no such close code");
        return;
    }
    if (f->len > 2 && !ws_utf8_valid(f->data + 2, f->len - 2)) {
        refuse(ws, WS_CLOSE_BAD_UTF8, "a close reason must be UTF-8");
        return;
    }
    snprintf(why, sizeof why, "%.*s", f->len > 2 ? (int)f->len - 2 : 0, f->len > 2 ? (const char *)f->data + 2 : "");
    if (ws->state == STATE_OPEN)
        send_close(ws, code == WS_CLOSE_NO_STATUS ? WS_CLOSE_NORMAL : code, "");
    over(ws, code, why);
}

static void deliver(struct ws_conn *ws, uint8_t *data, size_t len)
{
    if (ws_utf8_valid(data, len))
        ws->handler->on_text(ws, (char *)data, len, ws->arg);
    else
        refuse(ws, WS_CLOSE_BAD_UTF8, "a text message must be UTF-8");
}

/* What was delivered so far is good no longer. */
static void read_over(struct ws_conn *ws)
{
    if (ws->state == STATE_OPEN && ws->handler->on_read)
        ws->handler->on_read(ws, ws->arg);
}

/* Joins fragments. A whole message in one frame, which is all our peers send, is not copied. */
static void on_data_frame(struct ws_conn *ws, const struct ws_frame *f)
{
    char *longer, *message;
    size_t len;
    if (f->opcode == WS_TEXT && f->fin) {
        deliver(ws, f->data, f->len);
        return;
    }
    longer = realloc(ws->message, ws->message_len + f->len + 1);
    if (!longer) {
        refuse(ws, WS_CLOSE_INTERNAL, "out of memory");
        return;
    }
    memcpy(longer + ws->message_len, f->data, f->len);
    ws->message = longer;
    ws->message_len += f->len;
    if (!f->fin)
        return;
    message = ws->message;
    len = ws->message_len;
    ws->message = NULL;
    ws->message_len = 0;
    deliver(ws, (uint8_t *)message, len);
    read_over(ws); /* the owner may have kept a place in it */
    free(message);
}

static void on_frame(struct ws_conn *ws, const struct ws_frame *f)
{
    switch (f->opcode) {
    case WS_PING:
        send_control(ws, WS_PONG, f->data, f->len);
        break;
    case WS_PONG:
        break;
    case WS_CLOSE:
        on_close_frame(ws, f);
        break;
    case WS_BINARY:
        refuse(ws, WS_CLOSE_UNSUPPORTED, "only text messages are understood");
        break;
    case WS_TEXT:
    case WS_CONTINUATION:
        if (ws->state == STATE_OPEN)
            on_data_frame(ws, f);
        break;
    }
}

/* false: the peer has sent more than it could have reason to. */
static bool within_rate(struct ws_conn *ws, const struct ws_frame *f, int64_t now_ms)
{
    int64_t units = 1 + (int64_t)(f->len / WS_UNIT_BYTES);
    return is_server(ws) ? bucket_take(&ws->bucket, units, WS_SERVER_UNITS, WS_SERVER_BURST, now_ms)
                         : bucket_take(&ws->bucket, units, WS_CLIENT_UNITS, WS_CLIENT_BURST, now_ms);
}

static size_t take_frames(struct ws_conn *ws, uint8_t *buf, size_t len)
{
    int64_t now_ms = worker_now_ms(ws->w);
    size_t used = 0;
    /* of a peer that broke a rule nothing more is taken */
    while ((ws->state == STATE_OPEN || ws->state == STATE_LINGERING) && ws->fault == FAULT_NONE) {
        struct ws_frame frame;
        uint16_t code;
        size_t taken;
        enum ws_result result = ws_decode(&ws->decoder, buf + used, len - used, &taken, &frame, &code);
        if (result == WS_NEED_MORE)
            break;
        if (result == WS_BAD) {
            refuse(ws, code, "WebSocket rules broken");
            break;
        }
        used += taken;
        if (within_rate(ws, &frame, now_ms))
            on_frame(ws, &frame);
        else
            refuse(ws, WS_CLOSE_POLICY, "too much in too short a time");
    }
    read_over(ws);
    return used;
}

static const char *status_text(int status)
{
    switch (status) {
    case 404: return "Not Found";
    case 426: return "Upgrade Required";
    case 503: return "Service Unavailable";
    default: return "Bad Request";
    }
}

static void refuse_http(struct ws_conn *ws, int status)
{
    char head[256];
    sock_send(ws->w, ws->sock, head, ws_response_refuse(head, sizeof head, status, status_text(status)));
    over(ws, WS_CLOSE_ABNORMAL, status_text(status));
}

static size_t take_request(struct ws_conn *ws, const char *buf, size_t len)
{
    struct ws_request request;
    size_t taken = 0;
    char head[256];
    int status;
    enum ws_http_result result = ws_request_parse(buf, len, &taken, &request);
    if (result == WS_HTTP_NEED_MORE)
        return 0;
    status = result == WS_HTTP_BAD ? 400 : ws->handler->on_request(ws, &request, ws->arg);
    if (status == 400)
        blame(ws, FAULT_HTTP);
    if (status != 0) {
        refuse_http(ws, status);
        return taken;
    }
    event_del(&ws->deadline);
    sock_send(ws->w, ws->sock, head, ws_response_switch(head, sizeof head, request.key));
    ws->state = STATE_OPEN;
    ws->handler->on_open(ws, ws->arg);
    return taken;
}

static size_t take_response(struct ws_conn *ws, const char *buf, size_t len)
{
    size_t taken = 0;
    int status = 0;
    char why[64];
    enum ws_http_result result = ws_response_parse(buf, len, ws->key, &taken, &status);
    if (result == WS_HTTP_NEED_MORE)
        return 0;
    if (result == WS_HTTP_BAD || status != 101) {
        snprintf(why, sizeof why, "HTTP status %d instead of 101", status);
        ws->http_status = status;
        if (result == WS_HTTP_BAD)
            blame(ws, FAULT_HTTP);
        over(ws, WS_CLOSE_ABNORMAL, result == WS_HTTP_BAD ? "not a WebSocket server" : why);
        return taken;
    }
    event_del(&ws->deadline);
    ws->state = STATE_OPEN;
    ws->handler->on_open(ws, ws->arg);
    return taken;
}

static size_t on_bytes(void *arg, uint8_t *buf, size_t len)
{
    struct ws_conn *ws = arg;
    size_t used = 0;
    PREFETCH(ws->arg); /* comes while the frame is decoded */
    if (ws->state == STATE_REQUEST)
        used = take_request(ws, (const char *)buf, len);
    else if (ws->state == STATE_RESPONSE)
        used = take_response(ws, (const char *)buf, len);
    return used + take_frames(ws, buf + used, len - used);
}

static void on_sock_closed(void *arg, const char *why)
{
    struct ws_conn *ws = arg;
    if (sock_was_slow(ws->sock))
        blame(ws, FAULT_SLOW);
    over(ws, WS_CLOSE_ABNORMAL, why);
}

static void on_connected(void *arg)
{
    struct ws_conn *ws = arg;
    char host[300];
    size_t room_size, len;
    char *room = ws_room(ws, &room_size);
    if (ws->target->port == (ws->target->tls ? 443 : 80))
        snprintf(host, sizeof host, "%s", ws->target->host);
    else
        snprintf(host, sizeof host, "%s:%u", ws->target->host, (unsigned)ws->target->port);
    len = ws_request_write(room, room_size, host, ws->target->path, ws->key, ws->target->headers);
    ws->state = STATE_RESPONSE;
    sock_send(ws->w, ws->sock, room, len);
}

static const struct sock_handler sock_events = {on_connected, on_bytes, on_sock_closed};

static struct ws_conn *ws_new(struct worker *w, size_t max_message, const struct ws_handler *handler, void *arg)
{
    struct ws_conn *ws = calloc(1, sizeof *ws);
    if (!ws)
        return NULL;
    ws->w = w;
    ws->fault = FAULT_NONE;
    ws->next = w->conns;
    if (ws->next)
        ws->next->prev = ws;
    w->conns = ws;
    metric_add(&w->metrics.websockets, 1);
    ws->handler = handler;
    ws->arg = arg;
    ws->decoder.max_payload = max_message;
    evtimer_assign(&ws->deadline, w->base, on_deadline, ws);
    arm(ws, WS_HANDSHAKE_SECONDS);
    return ws;
}

struct ws_conn *ws_accept(struct worker *w, int fd, size_t max_message, const struct ws_handler *handler, void *arg)
{
    struct ws_conn *ws = ws_new(w, max_message, handler, arg);
    if (!ws) {
        evutil_closesocket(fd);
        return NULL;
    }
    ws->decoder.masked = true;
    ws->state = STATE_REQUEST;
    ws->sock = sock_accept(w, fd, &sock_events, ws);
    if (!ws->sock) {
        let_go(ws);
        return NULL;
    }
    sock_set_held_max(ws->sock, max_message + WS_HTTP_HEAD_MAX);
    sock_set_queue_max(ws->sock, WS_SERVER_QUEUE_MAX);
    return ws;
}

static void on_resolved(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct ws_conn *ws = arg;
    ws->resolving = NULL;
    ws->state = STATE_CONNECTING;
    if (!error) {
        ws->sock = sock_connect(ws->w, addr, len, ws->target->tls ? ws->target->host : NULL, &sock_events, ws);
        error = ws->sock ? NULL : "no socket to be had";
    }
    if (error) {
        /* told from the deadline's event, so that a dial never calls back before it returns */
        ws->no_address = error;
        event_active(&ws->deadline, EV_TIMEOUT, 0);
        return;
    }
    sock_set_held_max(ws->sock, ws->decoder.max_payload + WS_HTTP_HEAD_MAX);
}

struct ws_conn *ws_dial(struct worker *w, const struct ai_target *target, size_t max_message,
                        const struct ws_handler *handler, void *arg)
{
    struct ws_conn *ws = ws_new(w, max_message, handler, arg);
    uint8_t nonce[16];
    if (!ws)
        return NULL;
    ws->target = target;
    ws->state = STATE_RESOLVING;
    evutil_secure_rng_get_bytes(nonce, sizeof nonce);
    base64_encode(ws->key, nonce, sizeof nonce);
    ws->resolving = resolve(w->resolver, target->host, target->port, on_resolved, ws);
    return ws;
}

void ws_wait_for(struct ws_conn *ws, size_t bytes)
{
    if (ws && ws->state == STATE_OPEN)
        sock_wait_for(ws->sock, bytes);
}

enum peer_fault ws_fault(const struct ws_conn *ws)
{
    return ws->fault;
}

int ws_http_status(const struct ws_conn *ws)
{
    return ws->http_status;
}

void ws_abandon(struct ws_conn *ws)
{
    let_go(ws);
}

void ws_set_handler(struct ws_conn *ws, const struct ws_handler *handler, void *arg)
{
    ws->handler = handler;
    ws->arg = arg;
}
