#include "tests/bench/worker/link.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum state { CONNECTING, SHAKING, HEAD, OPEN, CLOSED };

/* A frame's head, but for texts shorter than 126 bytes, whose head is 2 bytes shorter. */
enum { SERVER_HEAD = 4, CLIENT_HEAD = 8, SHORT_TEXT = 126 };

struct link {
    struct link_loop *loop;
    int fd;
    enum state state;
    bool server, wants_write, unwatched;
    SSL *ssl;
    struct ws_decoder decoder;
    uint8_t *held; /* the start of a frame whose rest is missing */
    size_t held_len, held_size;
    uint8_t *out; /* what could not be sent yet */
    size_t out_len;
    const struct link_events *on;
    void *arg;
    const char *path, *headers;
    int port;
    char key[WS_KEY_SIZE];
    struct link *next_dead;
};

void die(const char *what)
{
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

int64_t wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

int64_t mono_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

void link_loop_init(struct link_loop *loop)
{
    struct rlimit files;
    memset(loop, 0, offsetof(struct link_loop, read_buf));
    loop->mask_seed = 2463534242u;
    loop->listener = -1;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        die("epoll");
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static SSL_CTX *tls_context(const SSL_METHOD *method)
{
    SSL_CTX *tls = SSL_CTX_new(method);
    if (!tls)
        die("TLS");
    SSL_CTX_set_mode(tls, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(tls, 1); /* a record in one read, as the worker has it */
    return tls;
}

void link_serve_tls(struct link_loop *loop, const char *certificate, const char *key)
{
    loop->server_tls = tls_context(TLS_server_method());
    if (SSL_CTX_use_certificate_chain_file(loop->server_tls, certificate) != 1 ||
        SSL_CTX_use_PrivateKey_file(loop->server_tls, key, SSL_FILETYPE_PEM) != 1)
        die("the certificate cannot be used");
}

void link_dial_tls(struct link_loop *loop, const char *trusted)
{
    loop->client_tls = tls_context(TLS_client_method());
    SSL_CTX_set_verify(loop->client_tls, SSL_VERIFY_PEER, NULL);
    if (SSL_CTX_load_verify_locations(loop->client_tls, trusted, NULL) != 1)
        die("the trusted certificate cannot be read");
}

static void watch(struct link *l, int what, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = l};
    if (epoll_ctl(l->loop->epoll, what, l->fd, &event) != 0)
        die("epoll_ctl");
}

/* Of a plain link the kernel tells once each time that something comes: a read that is not full has taken all. TLS
 * reads by records, and cannot know. */
static uint32_t interest(const struct link *l)
{
    return EPOLLIN | (l->ssl ? 0u : EPOLLET | EPOLLRDHUP) | (l->wants_write ? EPOLLOUT : 0u);
}

static void want_write(struct link *l, bool wanted)
{
    if (l->wants_write == wanted)
        return;
    l->wants_write = wanted;
    if (l->unwatched)
        link_rewatch(l);
    else
        watch(l, EPOLL_CTL_MOD, interest(l));
}

void link_close(struct link *l)
{
    if (!l || l->state == CLOSED)
        return;
    l->state = CLOSED;
    close(l->fd);
    SSL_free(l->ssl);
    free(l->held);
    free(l->out);
    l->next_dead = l->loop->dead;
    l->loop->dead = l;
}

static void closed(struct link *l, const char *why)
{
    if (l->state == CLOSED)
        return;
    link_close(l);
    if (l->on->on_closed)
        l->on->on_closed(l, why, l->arg);
}

/* Bytes, 0 for later, -1 for the end. */
static ssize_t result_of(struct link *l, ssize_t n)
{
    if (n > 0)
        return n;
    if (l->ssl) {
        int error = SSL_get_error(l->ssl, (int)n);
        return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
    }
    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

/* What waits here until its turn comes has waited for the load, not for the server: the kernel's time counts. */
static ssize_t recv_stamped(struct link *l, uint8_t *buf, size_t size)
{
    char control[CMSG_SPACE(sizeof(struct timespec))];
    struct iovec room = {buf, size};
    struct msghdr message = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(l->fd, &message, 0);
    struct cmsghdr *head = n > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    struct timespec came;
    if (head && head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_TIMESTAMPNS) {
        memcpy(&came, CMSG_DATA(head), sizeof came);
        l->loop->came_ns = came.tv_sec * 1000000000LL + came.tv_nsec;
    }
    return n;
}

/* ---- TLS's socket: the same, for what it reads ---- */

static int bio_read(BIO *bio, char *buf, int size)
{
    ssize_t n = recv_stamped(BIO_get_data(bio), (uint8_t *)buf, (size_t)size);
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_read(bio);
    return (int)n;
}

static int bio_write(BIO *bio, const char *buf, int len)
{
    struct link *l = BIO_get_data(bio);
    ssize_t n = send(l->fd, buf, (size_t)len, MSG_NOSIGNAL);
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        BIO_set_retry_write(bio);
    return (int)n;
}

static long bio_ctrl(BIO *bio, int what, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return what == BIO_CTRL_FLUSH; /* nothing is held back */
}

/* One thread's, as the loop is. */
static BIO *bio_of(struct link *l)
{
    static BIO_METHOD *method;
    BIO *bio;
    if (!method) {
        method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stamped socket");
        if (!method || !BIO_meth_set_read(method, bio_read) || !BIO_meth_set_write(method, bio_write) ||
            !BIO_meth_set_ctrl(method, bio_ctrl))
            die("TLS");
    }
    bio = BIO_new(method);
    if (!bio)
        die("TLS");
    BIO_set_data(bio, l);
    BIO_set_init(bio, 1);
    return bio;
}

static ssize_t read_some(struct link *l, uint8_t *buf, size_t size)
{
    l->loop->reads++;
    if (!l->ssl)
        return result_of(l, l->loop->stamps ? recv_stamped(l, buf, size) : recv(l->fd, buf, size, 0));
    ERR_clear_error();
    return result_of(l, SSL_read(l->ssl, buf, (int)size));
}

static ssize_t write_some(struct link *l, const uint8_t *buf, size_t len)
{
    l->loop->writes++;
    if (!l->ssl)
        return result_of(l, send(l->fd, buf, len, MSG_NOSIGNAL));
    ERR_clear_error();
    return result_of(l, SSL_write(l->ssl, buf, (int)len));
}

static void send_bytes(struct link *l, const uint8_t *bytes, size_t len)
{
    ssize_t n = l->state == CLOSED ? -1 : l->out_len > 0 ? 0 : write_some(l, bytes, len);
    if (n < 0 || (size_t)n == len)
        return; /* a broken socket tells by its reading side */
    l->out = realloc(l->out, l->out_len + len - (size_t)n);
    if (!l->out)
        die("memory");
    memcpy(l->out + l->out_len, bytes + n, len - (size_t)n);
    l->out_len += len - (size_t)n;
    want_write(l, true);
}

static void send_rest(struct link *l)
{
    ssize_t n = write_some(l, l->out, l->out_len);
    if (n <= 0)
        return;
    l->out_len -= (size_t)n;
    memmove(l->out, l->out + n, l->out_len);
    want_write(l, l->out_len > 0);
}

static size_t head_size(const struct link *l)
{
    return l->server ? SERVER_HEAD : CLIENT_HEAD;
}

char *link_room(struct link *l)
{
    return (char *)l->loop->put_buf + l->loop->put_len + head_size(l);
}

static uint32_t next_mask(struct link_loop *loop)
{
    loop->mask_seed ^= loop->mask_seed << 13;
    loop->mask_seed ^= loop->mask_seed >> 17;
    return loop->mask_seed ^= loop->mask_seed << 5;
}

void link_put(struct link *l, size_t len)
{
    struct link_loop *loop = l->loop;
    uint8_t *at = loop->put_buf + loop->put_len, head[WS_HEAD_MAX], mask[4];
    uint32_t seed = next_mask(loop);
    size_t n;
    memcpy(mask, &seed, 4);
    n = ws_encode_head(head, WS_TEXT, len, l->server ? NULL : mask);
    if (len > 65535 || loop->put_len + len + WS_HEAD_MAX > LINK_PUT_BYTES)
        die("a message of the bench is too long");
    if (len < SHORT_TEXT)
        memmove(at + n, at + head_size(l), len);
    memcpy(at, head, n);
    if (!l->server)
        ws_mask(at + n, len, mask);
    loop->put_len += n + len;
}

void link_flush(struct link *l)
{
    struct link_loop *loop = l->loop;
    if (loop->put_len > 0)
        send_bytes(l, loop->put_buf, loop->put_len);
    loop->put_len = 0;
}

void link_say(struct link *l, const char *text, size_t len)
{
    memcpy(link_room(l), text, len);
    link_put(l, len);
    link_flush(l);
}

/* The Python bridge's library asks every 20 s whether we are there. */
static void answer_ping(struct link *l, const struct ws_frame *ping)
{
    uint8_t frame[WS_HEAD_MAX + WS_CONTROL_MAX], mask[4] = {0};
    size_t head = ws_encode_head(frame, WS_PONG, ping->len, l->server ? NULL : mask);
    memcpy(frame + head, ping->data, ping->len);
    send_bytes(l, frame, head + ping->len);
}

static void on_frame(struct link *l, const struct ws_frame *f)
{
    if (f->opcode == WS_TEXT && f->fin)
        l->on->on_text(l, (char *)f->data, f->len, l->arg);
    else if (f->opcode == WS_CLOSE)
        closed(l, "closed by the peer");
    else if (f->opcode == WS_PING)
        answer_ping(l, f);
}

static size_t take_head(struct link *l, const char *buf, size_t len)
{
    size_t taken = 0;
    int status = 0;
    char head[512];
    struct ws_request request;
    if (l->server) {
        enum ws_http_result result = ws_request_parse(buf, len, &taken, &request);
        if (result == WS_HTTP_NEED_MORE)
            return 0;
        if (result == WS_HTTP_BAD || !request.upgrade) {
            closed(l, "no WebSocket request");
            return len;
        }
        send_bytes(l, (uint8_t *)head, ws_response_switch(head, sizeof head, request.key));
    } else {
        enum ws_http_result result = ws_response_parse(buf, len, l->key, &taken, &status);
        if (result == WS_HTTP_NEED_MORE)
            return 0;
        if (result == WS_HTTP_BAD || status != 101) {
            closed(l, "upgrade refused");
            return len;
        }
    }
    l->state = OPEN;
    l->on->on_open(l, l->arg);
    return taken;
}

static size_t take(struct link *l, uint8_t *buf, size_t len)
{
    size_t used = l->state == HEAD ? take_head(l, (char *)buf, len) : 0;
    while (l->state == OPEN) {
        struct ws_frame frame;
        uint16_t code;
        size_t taken;
        enum ws_result result = ws_decode(&l->decoder, buf + used, len - used, &taken, &frame, &code);
        if (result == WS_BAD)
            closed(l, "WebSocket rules broken");
        if (result != WS_FRAME)
            break;
        used += taken;
        on_frame(l, &frame);
    }
    return used;
}

static void keep(struct link *l, const uint8_t *rest, size_t len)
{
    if (len > l->held_size) {
        l->held_size = len;
        l->held = realloc(l->held, len);
        if (!l->held)
            die("memory");
    }
    if (len > 0)
        memcpy(l->held, rest, len);
    l->held_len = len;
}

/* What a read brought. false: nothing, or the end. */
static bool deliver(struct link *l, uint8_t *buf, size_t before, ssize_t n)
{
    size_t used;
    if (n < 0)
        closed(l, "closed by the peer");
    if (n <= 0)
        return false;
    used = take(l, buf, before + (size_t)n);
    if (l->state != CLOSED)
        keep(l, buf + used, before + (size_t)n - used);
    return true;
}

/* ended: the peer has sent its last, and what is there is read to the end. */
static void read_link(struct link *l, bool ended)
{
    struct link_loop *loop = l->loop;
    bool more;
    loop->came_ns = loop->woke_ns;
    do {
        size_t before = l->held_len;
        ssize_t n;
        if (before > LINK_READ_BYTES / 2)
            die("a frame for the bench is too long");
        if (before > 0)
            memcpy(loop->read_buf, l->held, before);
        n = read_some(l, loop->read_buf + before, LINK_READ_BYTES - before);
        if (!deliver(l, loop->read_buf, before, n))
            return;
        more = ended || before + (size_t)n == LINK_READ_BYTES;
    } while (l->state != CLOSED && (l->ssl ? SSL_has_pending(l->ssl) : more));
}

static void say_head(struct link *l)
{
    char head[1024], host[32];
    snprintf(host, sizeof host, "localhost:%d", l->port);
    l->state = HEAD;
    send_bytes(l, (uint8_t *)head, ws_request_write(head, sizeof head, host, l->path, l->key, l->headers));
}

static void shake(struct link *l)
{
    int n = SSL_do_handshake(l->ssl);
    if (n != 1) {
        if (result_of(l, n) < 0)
            closed(l, "TLS failed");
        return;
    }
    l->state = HEAD;
    if (!l->server)
        say_head(l);
}

static void connected(struct link *l)
{
    int error = 0;
    socklen_t len = sizeof error;
    if (getsockopt(l->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 || error != 0) {
        closed(l, "cannot connect");
        return;
    }
    want_write(l, false);
    l->state = l->ssl ? SHAKING : HEAD;
    if (l->ssl)
        shake(l);
    else
        say_head(l);
}

static void handle(struct link *l, uint32_t events)
{
    if (l->state == CONNECTING)
        connected(l);
    else if (l->state == SHAKING)
        shake(l);
    else if (l->state != CLOSED && (events & EPOLLOUT) && l->out_len > 0)
        send_rest(l);
    if ((l->state == HEAD || l->state == OPEN) && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
        read_link(l, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

/* ---- reading ahead: the processor reads for many, and then thinks and writes for many ---- */

struct arrival {
    struct link *link; /* NULL: nothing was read ahead for that event */
    ssize_t n;
    int64_t came_ns;
};

static struct arrival read_ahead(struct link_loop *loop, struct epoll_event *event, uint8_t *slice)
{
    struct link *l = event->data.ptr;
    struct arrival a = {.came_ns = loop->woke_ns};
    if (!l || l->state != OPEN || l->ssl || l->held_len > 0 || event->events != EPOLLIN)
        return a;
    loop->came_ns = loop->woke_ns;
    a.link = l;
    a.n = read_some(l, slice, LINK_SLICE_BYTES);
    a.came_ns = loop->came_ns;
    return a;
}

static void handle_read(const struct arrival *a, uint8_t *slice)
{
    struct link *l = a->link;
    l->loop->came_ns = a->came_ns;
    if (deliver(l, slice, 0, a->n) && a->n == LINK_SLICE_BYTES && l->state == OPEN)
        read_link(l, false);
}

static void bury(struct link_loop *loop)
{
    while (loop->dead) {
        struct link *l = loop->dead;
        loop->dead = l->next_dead;
        free(l);
    }
}

static void accept_all(struct link_loop *loop)
{
    int fd;
    while ((fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0)
        loop->on_accept(loop, fd);
}

void link_turn(struct link_loop *loop, int64_t timeout_ns)
{
    struct epoll_event events[LINK_EVENTS];
    struct arrival arrivals[LINK_EVENTS] = {0};
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    int n = epoll_pwait2(loop->epoll, events, LINK_EVENTS, &timeout, NULL);
    loop->waits++;
    loop->woke_ns = wall_ns();
    for (int i = 0; i < n && loop->reads_ahead; i++)
        arrivals[i] = read_ahead(loop, &events[i], loop->slices[i]);
    for (int i = 0; i < n; i++) {
        struct link *l = events[i].data.ptr;
        if (i + 1 < n)
            __builtin_prefetch(events[i + 1].data.ptr);
        if (!l)
            accept_all(loop);
        else if (l->state != CLOSED && arrivals[i].link)
            handle_read(&arrivals[i], loop->slices[i]);
        else if (l->state != CLOSED)
            handle(l, events[i].events);
    }
    bury(loop);
}

void link_unwatch(struct link *l)
{
    if (l->state != OPEN || l->ssl || l->wants_write || l->unwatched)
        return;
    watch(l, EPOLL_CTL_DEL, 0);
    l->unwatched = true;
}

void link_rewatch(struct link *l)
{
    if (l->state != OPEN || !l->unwatched)
        return;
    watch(l, EPOLL_CTL_ADD, interest(l));
    l->unwatched = false;
}

void link_look(struct link *l)
{
    if (l->state == OPEN)
        read_link(l, false);
}

void link_listen(struct link_loop *loop, int port, void (*on_accept)(struct link_loop *loop, int fd))
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one); /* two loads are one provider */
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(fd, 4096) != 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) != 0)
        die("cannot listen");
    loop->listener = fd;
    loop->on_accept = on_accept;
}

static struct link *link_new(struct link_loop *loop, int fd, bool server, const struct link_events *on, void *arg)
{
    struct link *l = calloc(1, sizeof *l);
    SSL_CTX *tls = server ? loop->server_tls : loop->client_tls;
    int one = 1;
    if (!l || fd < 0)
        die("a new connection");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (loop->stamps)
        setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one);
    *l = (struct link){.loop = loop, .fd = fd, .server = server, .on = on, .arg = arg};
    l->decoder = (struct ws_decoder){.max_payload = LINK_READ_BYTES / 2, .masked = server};
    if (tls) {
        BIO *bio;
        l->ssl = SSL_new(tls);
        if (!l->ssl)
            die("TLS");
        if (loop->stamps) {
            bio = bio_of(l);
            SSL_set_bio(l->ssl, bio, bio);
        } else if (SSL_set_fd(l->ssl, fd) != 1) {
            die("TLS");
        }
    }
    return l;
}

struct link *link_accept(struct link_loop *loop, int fd, const struct link_events *on, void *arg)
{
    struct link *l = link_new(loop, fd, true, on, arg);
    l->state = l->ssl ? SHAKING : HEAD;
    if (l->ssl)
        SSL_set_accept_state(l->ssl);
    watch(l, EPOLL_CTL_ADD, interest(l));
    return l;
}

struct link *link_dial(struct link_loop *loop, int port, const char *path, const char *headers,
                       const struct link_events *on, void *arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct link *l = link_new(loop, socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), false, on, arg);
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==";
    memcpy(l->key, key, sizeof key);
    l->path = path;
    l->headers = headers;
    l->port = port;
    if (l->ssl) {
        SSL_set_connect_state(l->ssl);
        SSL_set1_host(l->ssl, "localhost");
    }
    if (connect(l->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect");
    l->wants_write = true;
    watch(l, EPOLL_CTL_ADD, interest(l));
    return l;
}
