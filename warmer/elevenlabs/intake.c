#include "warmer/elevenlabs/intake.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "common/base/listen.h"
#include "common/base/log.h"
#include "warmer/elevenlabs/post.h"

enum {
    PEERS_MAX = 16,
    HEAD_MAX = 16 * 1024,
    LINE_MAX_BYTES = 256,    /* of a chunk's size */
    BUFFER_MAX = 64 * 1024,  /* read ahead of a peer */
    IDLE_SECONDS = 30,
    WHOLE_SECONDS = 600,     /* for one webhook to arrive */
};

static const char path[] = "/webhooks/elevenlabs/post-call";

enum state { HEAD, BODY, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER, JUDGED /* the answer is on its way */ };

struct peer {
    struct intake *intake;
    struct peer *next, **link;
    struct bufferevent *bev;
    struct event *limit;
    enum state state;
    uint64_t left; /* of the body, or of the chunk */
    struct post *post;
};

struct intake {
    struct warmer *w;
    struct evconnlistener *listener;
    struct peer *peers;
    size_t count;
};

static void peer_free(struct peer *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    if (p->intake->count-- == PEERS_MAX && p->intake->listener)
        evconnlistener_enable(p->intake->listener);
    if (p->post)
        post_abandon(p->post);
    event_free(p->limit);
    bufferevent_free(p->bev);
    free(p);
}

/* ---- answers ---- */

static const char *reason_of(int status)
{
    switch (status) {
    case 200:
        return "OK";
    case 401:
        return "Unauthorized";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 413:
        return "Content Too Large";
    case 500:
        return "Internal Server Error";
    default:
        return "Bad Request";
    }
}

static void answer(struct peer *p, int status)
{
    p->state = JUDGED;
    evbuffer_add_printf(bufferevent_get_output(p->bev), "HTTP/1.1 %d %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", status,
                        reason_of(status));
}

static void refuse(struct peer *p, int status)
{
    if (p->post)
        post_abandon(p->post);
    p->post = NULL;
    answer(p, status);
}

static void on_done(int status, void *arg)
{
    struct peer *p = arg;
    p->post = NULL;
    answer(p, status);
}

static void judge(struct peer *p)
{
    p->state = JUDGED;
    post_end(p->post, on_done, p);
}

/* ---- the head ---- */

struct head {
    char method[16], target[128];
    const char *signature, *length;
    bool chunked, expects;
};

static void take_header(struct head *head, char *line)
{
    char *value = strchr(line, ':');
    if (!value)
        return;
    *value++ = '\0';
    value += strspn(value, " \t");
    if (strcasecmp(line, "ElevenLabs-Signature") == 0)
        head->signature = value;
    else if (strcasecmp(line, "Content-Length") == 0)
        head->length = value;
    else if (strcasecmp(line, "Transfer-Encoding") == 0)
        head->chunked = strcasecmp(value, "chunked") == 0;
    else if (strcasecmp(line, "Expect") == 0)
        head->expects = strcasecmp(value, "100-continue") == 0;
}

/* Takes the text apart; false: it is no request. */
static bool read_head(struct head *head, char *text)
{
    char *rest = NULL, *line = strtok_r(text, "\r\n", &rest);
    memset(head, 0, sizeof *head);
    head->signature = "";
    if (!line || sscanf(line, "%15s %127s HTTP/1.%*1d", head->method, head->target) != 2)
        return false;
    while ((line = strtok_r(NULL, "\r\n", &rest)) != NULL)
        take_header(head, line);
    head->target[strcspn(head->target, "?")] = '\0';
    return true;
}

static int begin_body(struct peer *p, const struct head *head)
{
    int status = 0;
    char *end = NULL;
    if (strcmp(head->target, path) != 0)
        return 404;
    if (strcmp(head->method, "POST") != 0)
        return 405;
    errno = 0;
    p->left = head->length ? strtoull(head->length, &end, 10) : 0;
    if (head->chunked == (head->length != NULL) || (end && (*end || errno || end == head->length)))
        return 400; /* both, none, or no number */
    if (p->left > POST_BODY_MAX)
        return 413;
    p->post = post_begin(p->intake->w, head->signature, &status);
    if (!p->post)
        return status;
    p->state = head->chunked ? CHUNK_SIZE : BODY;
    if (head->expects)
        evbuffer_add_printf(bufferevent_get_output(p->bev), "HTTP/1.1 100 Continue\r\n\r\n");
    return 0;
}

/* Each reader returns whether there may be more to read at once. */
static bool on_head(struct peer *p, struct evbuffer *in)
{
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    char text[HEAD_MAX + 1];
    struct head head;
    int status = 400;
    if (end.pos < 0 && evbuffer_get_length(in) <= HEAD_MAX)
        return false;
    if (end.pos >= 0 && end.pos <= HEAD_MAX) {
        evbuffer_remove(in, text, (size_t)end.pos);
        text[end.pos] = '\0';
        evbuffer_drain(in, 4);
        status = read_head(&head, text) ? begin_body(p, &head) : 400;
    }
    if (status)
        refuse(p, status);
    return status == 0;
}

/* ---- the body ---- */

/* Hands on what is there of it. */
static bool pass_on(struct peer *p, struct evbuffer *in)
{
    while (p->left > 0 && evbuffer_get_length(in) > 0) {
        struct evbuffer_iovec piece;
        int status;
        evbuffer_peek(in, -1, NULL, &piece, 1);
        if (piece.iov_len > p->left)
            piece.iov_len = (size_t)p->left;
        status = post_add(p->post, piece.iov_base, piece.iov_len);
        if (status) {
            refuse(p, status);
            return false;
        }
        p->left -= piece.iov_len;
        evbuffer_drain(in, piece.iov_len);
    }
    return p->left == 0;
}

/* A line of the chunks' own; NULL: it has not come. */
static char *line_of(struct peer *p, struct evbuffer *in)
{
    char *line = evbuffer_readln(in, NULL, EVBUFFER_EOL_CRLF_STRICT);
    if (!line && evbuffer_get_length(in) > LINE_MAX_BYTES)
        refuse(p, 400);
    return line;
}

static bool on_chunk_size(struct peer *p, struct evbuffer *in)
{
    char *line = line_of(p, in), *end;
    bool good;
    if (!line)
        return false;
    errno = 0;
    p->left = strtoull(line, &end, 16);
    good = end != line && (*end == '\0' || *end == ';') && !errno && p->left <= POST_BODY_MAX && *line != '-';
    free(line);
    if (!good)
        refuse(p, 400);
    else
        p->state = p->left > 0 ? CHUNK : TRAILER;
    return good;
}

static bool on_line(struct peer *p, struct evbuffer *in)
{
    char *line = line_of(p, in);
    bool empty = line && !*line, ends = p->state == TRAILER;
    if (!line)
        return false;
    free(line);
    if (ends && empty)
        judge(p);
    else if (!ends && empty)
        p->state = CHUNK_SIZE;
    else if (!ends)
        refuse(p, 400);
    return p->state != JUDGED;
}

static bool on_piece(struct peer *p, struct evbuffer *in)
{
    if (!pass_on(p, in))
        return false;
    if (p->state == BODY)
        judge(p);
    else
        p->state = CHUNK_END;
    return p->state != JUDGED;
}

static void on_read(struct bufferevent *bev, void *arg)
{
    struct peer *p = arg;
    struct evbuffer *in = bufferevent_get_input(bev);
    bool more = true;
    while (more) {
        switch (p->state) {
        case HEAD:
            more = on_head(p, in);
            break;
        case BODY:
        case CHUNK:
            more = on_piece(p, in);
            break;
        case CHUNK_SIZE:
            more = on_chunk_size(p, in);
            break;
        case CHUNK_END:
        case TRAILER:
            more = on_line(p, in);
            break;
        case JUDGED: /* what it still sends is of no interest */
            evbuffer_drain(in, evbuffer_get_length(in));
            more = false;
            break;
        }
    }
}

/* ---- connections ---- */

static void on_written(struct bufferevent *bev, void *arg)
{
    struct peer *p = arg;
    if (p->state == JUDGED && !p->post && evbuffer_get_length(bufferevent_get_output(bev)) == 0)
        peer_free(p);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
    (void)bev;
    (void)what;
    peer_free(arg); /* gone, or silent for too long */
}

static void on_limit(evutil_socket_t fd, short what, void *arg)
{
    struct peer *p = arg;
    (void)fd;
    (void)what;
    metric_add(&p->intake->w->metrics.slow_requests, 1);
    peer_free(p);
}

static void on_accept(struct evconnlistener *listener, evutil_socket_t fd, struct sockaddr *from, int len, void *arg)
{
    static const struct timeval idle = {IDLE_SECONDS, 0}, whole = {WHOLE_SECONDS, 0};
    struct intake *intake = arg;
    struct peer *p = calloc(1, sizeof *p);
    (void)from;
    (void)len;
    if (p) {
        p->bev = bufferevent_socket_new(intake->w->base, fd, BEV_OPT_CLOSE_ON_FREE);
        p->limit = p->bev ? evtimer_new(intake->w->base, on_limit, p) : NULL;
    }
    if (!p || !p->limit) {
        if (p && p->bev)
            bufferevent_free(p->bev);
        else
            close(fd);
        free(p);
        return;
    }
    p->intake = intake;
    p->next = intake->peers;
    if (p->next)
        p->next->link = &p->next;
    p->link = &intake->peers;
    intake->peers = p;
    if (++intake->count == PEERS_MAX)
        evconnlistener_disable(listener); /* the kernel's queue holds the rest */
    event_add(p->limit, &whole);
    bufferevent_setcb(p->bev, on_read, on_written, on_event, p);
    bufferevent_setwatermark(p->bev, EV_READ, 0, BUFFER_MAX);
    bufferevent_set_timeouts(p->bev, &idle, &idle);
    bufferevent_enable(p->bev, EV_READ | EV_WRITE);
}

struct intake *intake_new(struct warmer *w)
{
    struct intake *intake = calloc(1, sizeof *intake);
    int fd = intake ? listen_socket(w->config.elevenlabs_listen) : -1;
    if (fd >= 0)
        intake->listener = evconnlistener_new(w->base, on_accept, intake, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC, 0, fd);
    if (intake && intake->listener) {
        intake->w = w;
        return intake;
    }
    log_error(NULL, "webhook port not available", log_str("listen", w->config.elevenlabs_listen), log_str("error", strerror(errno)));
    if (fd >= 0)
        close(fd);
    free(intake);
    return NULL;
}

void intake_stop(struct intake *intake)
{
    if (!intake || !intake->listener)
        return;
    evconnlistener_free(intake->listener);
    intake->listener = NULL;
}

size_t intake_busy(const struct intake *intake)
{
    return intake ? intake->count : 0;
}

void intake_free(struct intake *intake)
{
    if (!intake)
        return;
    intake_stop(intake);
    while (intake->peers)
        peer_free(intake->peers);
    free(intake);
}
