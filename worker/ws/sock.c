#include "worker/ws/sock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "common/base/clock.h"

enum state { STATE_CONNECTING, STATE_TLS, STATE_OPEN, STATE_FAILED, STATE_FREED };

enum { HELD_MAX_DEFAULT = 65536 };

struct sock {
    struct worker *w;
    int fd;
    enum state state;
    SSL *ssl; /* NULL: plain */
    bool finishing;
    bool ended;           /* the peer has sent its last: what is there is read to the end */
    bool slow;            /* FAILED: because of the queue */
    struct evbuffer *out; /* NULL until something had to wait */
    uint8_t *held;        /* the start of a frame whose rest is missing */
    size_t held_len;
    int low_water; /* SO_RCVLOWAT, if it was set */
    const struct sock_handler *handler;
    void *arg;
    struct event readable; /* up to here: what every frame touches */
    struct event writable;
    size_t held_size, held_max, queue_max;
    const char *why;      /* FAILED: what on_closed will say */
    struct deferred deferred;
};

/* What one read or write came to. */
enum { IO_AGAIN = -1, IO_CLOSED = -2, IO_ERROR = -3 };

void sock_fail(struct sock *s, const char *why)
{
    if (s->state >= STATE_FAILED)
        return;
    s->state = STATE_FAILED;
    s->why = why;
    event_del(&s->writable);
    event_active(&s->readable, EV_READ, 0); /* tells the owner from the loop */
}

static ssize_t ssl_result(struct sock *s, int n)
{
    switch (SSL_get_error(s->ssl, n)) {
    case SSL_ERROR_WANT_READ:
        return IO_AGAIN;
    case SSL_ERROR_WANT_WRITE:
        event_add(&s->writable, NULL);
        return IO_AGAIN;
    case SSL_ERROR_ZERO_RETURN:
        return IO_CLOSED;
    default:
        return IO_ERROR;
    }
}

static ssize_t read_some(struct sock *s, uint8_t *buf, size_t size)
{
    ssize_t n;
    if (s->ssl) {
        ERR_clear_error();
        n = SSL_read(s->ssl, buf, (int)size);
        return n > 0 ? n : ssl_result(s, (int)n);
    }
    n = recv(s->fd, buf, size, 0);
    if (n > 0)
        return n;
    if (n == 0)
        return IO_CLOSED;
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_ERROR;
}

static ssize_t write_some(struct sock *s, const void *buf, size_t len)
{
    ssize_t n;
    if (s->ssl) {
        ERR_clear_error();
        n = SSL_write(s->ssl, buf, (int)len);
        return n > 0 ? n : ssl_result(s, (int)n);
    }
    n = send(s->fd, buf, len, MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR ? IO_AGAIN : IO_ERROR;
}

static void queue(struct sock *s, const uint8_t *bytes, size_t len)
{
    if (!s->out)
        s->out = evbuffer_new();
    if (!s->out || evbuffer_add(s->out, bytes, len) != 0)
        sock_fail(s, "out of memory");
    else if (evbuffer_get_length(s->out) > s->queue_max) {
        s->slow = true;
        sock_fail(s, "the peer reads too slowly");
    } else
        event_add(&s->writable, NULL);
}

static void send_now(struct sock *s, const void *bytes, size_t len)
{
    const uint8_t *at = bytes;
    if (s->state >= STATE_FAILED)
        return;
    while (len > 0 && s->state == STATE_OPEN && sock_queued(s) == 0) {
        ssize_t n = write_some(s, at, len);
        if (n == IO_AGAIN)
            break;
        if (n < 0) {
            sock_fail(s, "write failed");
            return;
        }
        at += n;
        len -= (size_t)n;
    }
    if (len > 0)
        queue(s, at, len);
}

void sock_uncork(struct worker *w)
{
    struct cork *cork = &w->cork;
    const uint8_t *at = cork->buf;
    for (unsigned i = 0; i < cork->count; i++) {
        send_now(cork->parts[i].sock, at, cork->parts[i].len);
        at += cork->parts[i].len;
    }
    cork->count = 0;
    cork->len = 0;
}

static void uncork_later(void *arg)
{
    struct worker *w = arg;
    w->cork.due = false;
    sock_uncork(w);
}

static void gather(struct worker *w, struct sock *s, const void *bytes, size_t len)
{
    struct cork *cork = &w->cork;
    PREFETCH(s); /* not touched before its turn to send comes */
    if (cork->count == 0 || cork->parts[cork->count - 1].sock != s)
        cork->parts[cork->count++] = (struct cork_part){s, 0};
    memcpy(cork->buf + cork->len, bytes, len);
    cork->parts[cork->count - 1].len += len;
    cork->len += len;
    if (!cork->due)
        worker_defer(w, &cork->deferred, uncork_later, w);
    cork->due = true;
}

/* While sockets are read, what that sends is gathered, and leaves when those that had something have been read: what
 * goes to one socket leaves in one write, and the processor reads, thinks and writes, each for many sockets, instead
 * of learning all of it anew for every frame. */
void sock_send(struct worker *w, struct sock *s, const void *bytes, size_t len)
{
    struct cork *cork = &w->cork;
    bool fits = len <= sizeof cork->buf - cork->len && cork->count < WORKER_CORK_PARTS;
    if (!cork->on || !fits)
        sock_uncork(w);
    if (cork->on && len <= sizeof cork->buf)
        gather(w, s, bytes, len);
    else
        send_now(s, bytes, len);
}

size_t sock_queued(const struct sock *s)
{
    return s->out ? evbuffer_get_length(s->out) : 0;
}

static void flush(struct sock *s)
{
    while (sock_queued(s) > 0) {
        struct evbuffer_iovec piece;
        ssize_t n;
        evbuffer_peek(s->out, -1, NULL, &piece, 1);
        n = write_some(s, piece.iov_base, piece.iov_len);
        if (n == IO_AGAIN) {
            event_add(&s->writable, NULL);
            return;
        }
        if (n < 0) {
            sock_fail(s, "write failed");
            return;
        }
        evbuffer_drain(s->out, (size_t)n);
    }
    if (s->out) {
        evbuffer_free(s->out);
        s->out = NULL;
    }
    if (s->finishing)
        shutdown(s->fd, SHUT_WR);
}

void sock_finish(struct sock *s)
{
    sock_uncork(s->w);
    if (s->state != STATE_OPEN)
        return;
    s->finishing = true;
    event_del(&s->readable);
    if (sock_queued(s) == 0)
        shutdown(s->fd, SHUT_WR);
}

static void opened(struct sock *s)
{
    s->state = STATE_OPEN;
    s->handler->on_open(s->arg);
    if (s->state == STATE_OPEN)
        flush(s);
}

static void shake_hands(struct sock *s)
{
    int n;
    ERR_clear_error();
    n = SSL_do_handshake(s->ssl);
    if (n == 1)
        opened(s);
    else if (ssl_result(s, n) != IO_AGAIN)
        sock_fail(s, SSL_get_verify_result(s->ssl) != X509_V_OK ? "the TLS certificate is not trusted" : "TLS handshake failed");
}

static void connected(struct sock *s)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        sock_fail(s, error == ECONNREFUSED ? "connection refused" : "cannot connect");
        return;
    }
    event_add(&s->readable, NULL);
    if (!s->ssl) {
        opened(s);
        return;
    }
    s->state = STATE_TLS;
    shake_hands(s);
}

/* Room for the next read: behind what is held, or the loop's own buffer. NULL: the frame is too
 * large, or memory is out. */
static uint8_t *read_room(struct sock *s, size_t *size)
{
    if (s->held_len == 0) {
        *size = sizeof s->w->read_buf;
        return s->w->read_buf;
    }
    if (s->held_size - s->held_len < WORKER_SPARE_BYTES / 4) {
        size_t bigger = s->held_size * 2;
        uint8_t *buffer;
        if (s->held_len >= s->held_max)
            return NULL;
        buffer = worker_take_buffer(s->w, &bigger);
        if (!buffer)
            return NULL;
        memcpy(buffer, s->held, s->held_len);
        worker_give_buffer(s->w, s->held, s->held_size);
        s->held = buffer;
        s->held_size = bigger;
    }
    *size = s->held_size - s->held_len;
    return s->held + s->held_len;
}

/* Keeps what the owner did not use; gives the buffer back when nothing is left. */
static bool keep(struct sock *s, const uint8_t *rest, size_t len)
{
    if (len == 0) {
        worker_give_buffer(s->w, s->held, s->held_size);
        s->held = NULL;
        s->held_size = 0;
    } else if (!s->held) {
        s->held_size = len + 1;
        s->held = worker_take_buffer(s->w, &s->held_size);
        if (!s->held)
            return false;
        memcpy(s->held, rest, len);
    } else {
        memmove(s->held, rest, len);
    }
    s->held_len = len;
    return true;
}

/* One read and its delivery. true: more may be there. */
static bool read_once(struct sock *s)
{
    size_t size, total, used;
    uint8_t *room = read_room(s, &size), *buf;
    ssize_t n;
    if (!room) {
        sock_fail(s, "the frame is too large");
        return false;
    }
    PREFETCH(s->arg); /* comes while the kernel copies */
    n = read_some(s, room, size);
    if (n < 0) {
        if (n != IO_AGAIN)
            sock_fail(s, n == IO_CLOSED ? "closed by the peer" : errno == ETIMEDOUT ? "the peer has fallen silent" : "connection reset");
        return false;
    }
    buf = s->held_len ? s->held : room;
    total = s->held_len + (size_t)n;
    used = s->handler->on_bytes(s->arg, buf, total);
    if (s->state != STATE_OPEN)
        return false;
    if (!keep(s, buf + used, total - used)) {
        sock_fail(s, "out of memory");
        return false;
    }
    return s->ssl ? SSL_has_pending(s->ssl) == 1 : (size_t)n == size || s->ended;
}

/* Reads until nothing more is known to be there. true: it stopped before, so that others have their turn. */
static bool read_all(struct sock *s)
{
    for (int i = 0; i < SOCK_READS_PER_WAKE; i++) {
        if (s->state != STATE_OPEN || s->finishing || !read_once(s))
            return false;
    }
    metric_add(&s->w->metrics.reads_cut, 1);
    return true;
}

/* There is more, which the kernel has told of, or TLS has taken already: nobody will speak of it again. */
static void come_again(struct sock *s)
{
    if (s->ssl) {
        event_active(&s->readable, EV_READ, 0);
        return;
    }
    event_del(&s->readable); /* the kernel is asked anew, when the others have had their turn */
    event_add(&s->readable, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct sock *s = arg;
    struct worker *w = s->w;
    bool more;
    (void)fd;
    if (w->reads++ == 0)
        w->woke_us = clock_mono_us();
    s->ended = s->ended || (what & EV_CLOSED);
    if (s->state == STATE_TLS)
        shake_hands(s);
    w->cork.on = true;
    w->read_ms = clock_mono_ms();
    more = read_all(s);
    w->read_ms = 0;
    w->cork.on = false;
    if (more && s->state == STATE_OPEN)
        come_again(s);
    if (s->state == STATE_FAILED) {
        event_del(&s->readable);
        s->handler->on_closed(s->arg, s->why);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct sock *s = arg;
    (void)fd;
    (void)what;
    switch (s->state) {
    case STATE_CONNECTING:
        connected(s);
        break;
    case STATE_TLS:
        shake_hands(s);
        break;
    case STATE_OPEN:
        flush(s);
        break;
    case STATE_FAILED:
    case STATE_FREED:
        break;
    }
}

/* The kernel tells of a plain socket once each time that something comes, and of the peer's end, so that it need not
 * look again whether we have read all: a read that is not full has. TLS reads by records, and cannot know. */
static struct sock *sock_new(struct worker *w, int fd, bool tls, const struct sock_handler *handler, void *arg)
{
    short edge = tls ? 0 : EV_ET;
    struct sock *s = calloc(1, sizeof *s);
    int one = 1;
    if (!s) {
        close(fd);
        return NULL;
    }
    /* A 20 ms frame must not wait for the next one; failing that it is only slower. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    s->w = w;
    s->fd = fd;
    s->handler = handler;
    s->arg = arg;
    s->held_max = HELD_MAX_DEFAULT;
    s->queue_max = SOCK_QUEUE_MAX;
    event_assign(&s->readable, w->base, fd, (short)(EV_READ | EV_PERSIST | edge | (edge ? EV_CLOSED : 0)), on_readable, s);
    event_assign(&s->writable, w->base, fd, (short)(EV_WRITE | edge), on_writable, s);
    return s;
}

struct sock *sock_accept(struct worker *w, int fd, const struct sock_handler *handler, void *arg)
{
    struct sock *s = sock_new(w, fd, false, handler, arg);
    int bytes = SOCK_KERNEL_BYTES;
    if (!s)
        return NULL;
    /* Without a bound the kernel keeps up to 6 MB for a peer that floods, or does not read. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    s->state = STATE_OPEN;
    event_add(&s->readable, NULL);
    return s;
}

static bool prepare_tls(struct sock *s, const char *server_name)
{
    s->ssl = SSL_new(s->w->tls);
    if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1 || SSL_set_tlsext_host_name(s->ssl, server_name) != 1)
        return false;
    SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    SSL_set_mode(s->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_set_connect_state(s->ssl);
    /* an address is checked as an address, anything else as a name */
    return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), server_name) == 1 || SSL_set1_host(s->ssl, server_name) == 1;
}

/* A peer who falls silent without a word (a firewall that forgot us) is noticed: by what it does not acknowledge, and
 * while there is nothing to acknowledge by being asked. Without it only a kernel's last retransmission tells, after a quarter
 * of an hour. With a bound on silence Linux gives up after the first such question, not after TCP_KEEPCNT of them: the
 * interval is the whole time for an answer, in which the packet is not sent again. */
static void expect_life(int fd)
{
    int on = 1, idle_s = SOCK_IDLE_SECONDS, every_s = SOCK_SILENT_MS / 1000, silent_ms = SOCK_SILENT_MS;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent_ms, sizeof silent_ms);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every_s, sizeof every_s);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

struct sock *sock_connect(struct worker *w, const struct sockaddr *addr, socklen_t len, const char *server_name,
                          const struct sock_handler *handler, void *arg)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sock *s = fd >= 0 ? sock_new(w, fd, server_name != NULL, handler, arg) : NULL;
    if (!s)
        return NULL;
    expect_life(fd);
    s->state = STATE_CONNECTING;
    event_add(&s->writable, NULL);
    if (server_name && !prepare_tls(s, server_name))
        sock_fail(s, "TLS cannot be set up");
    else if (connect(fd, addr, len) != 0 && errno != EINPROGRESS)
        sock_fail(s, "cannot connect");
    return s;
}

void sock_set_queue_max(struct sock *s, size_t bytes)
{
    s->queue_max = bytes;
}

bool sock_was_slow(const struct sock *s)
{
    return s->slow;
}

/* What is there already, and now enough, the kernel tells of by itself. */
void sock_wait_for(struct sock *s, size_t bytes)
{
    int low_water = (int)bytes;
    if (s->low_water == low_water || s->state != STATE_OPEN || s->ssl)
        return;
    s->low_water = low_water;
    (void)setsockopt(s->fd, SOL_SOCKET, SO_RCVLOWAT, &low_water, sizeof low_water);
}

void sock_set_held_max(struct sock *s, size_t bytes)
{
    s->held_max = bytes;
}

/* The held buffer goes last: the owner may still be reading a frame in it. */
static void release(void *arg)
{
    struct sock *s = arg;
    worker_give_buffer(s->w, s->held, s->held_size);
    free(s);
}

void sock_free(struct sock *s)
{
    if (!s || s->state == STATE_FREED)
        return;
    sock_uncork(s->w); /* last words */
    if (s->ssl && s->state == STATE_OPEN)
        (void)SSL_shutdown(s->ssl); /* says goodbye; the answer is not waited for */
    s->state = STATE_FREED;
    event_del(&s->readable);
    event_del(&s->writable);
    SSL_free(s->ssl);
    close(s->fd);
    if (s->out)
        evbuffer_free(s->out);
    worker_defer(s->w, &s->deferred, release, s);
}
