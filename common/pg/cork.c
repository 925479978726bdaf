#include "common/pg/cork.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

enum { NO_SOCKET = -1 };

static void set(evutil_socket_t fd, int in)
{
    (void)!setsockopt(fd, IPPROTO_TCP, TCP_CORK, &in, sizeof in);
}

static void on_turn_end(evutil_socket_t none, short what, void *arg)
{
    struct cork *cork = arg;
    (void)none;
    (void)what;
    if (cork->fd != NO_SOCKET)
        set(cork->fd, 0);
    cork->fd = NO_SOCKET;
    cork->passed = false;
}

int cork_init(struct cork *cork, struct event_base *base)
{
    cork->fd = NO_SOCKET;
    cork->passed = false;
    cork->turn_end = event_new(base, -1, 0, on_turn_end, cork);
    return cork->turn_end ? 0 : -1;
}

void cork_put_in(struct cork *cork, evutil_socket_t fd)
{
    if (cork->fd == fd)
        return;
    cork->fd = fd;
    set(fd, 1);
    event_active(cork->turn_end, EV_WRITE, 0);
}

void cork_let_first_through(struct cork *cork, evutil_socket_t fd)
{
    if (cork->passed) {
        cork_put_in(cork, fd);
        return;
    }
    cork->passed = true;
    event_active(cork->turn_end, EV_WRITE, 0);
}

void cork_forget(struct cork *cork)
{
    cork->fd = NO_SOCKET;
}

void cork_release(struct cork *cork)
{
    if (cork->turn_end)
        event_free(cork->turn_end);
}
