#include "common/base/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/http.h>
#include <event2/listener.h>
#include <event2/util.h>

#include "common/base/log.h"

/* Calls arrive in bursts; the kernel cuts this to its own somaxconn. */
enum { LISTEN_BACKLOG = 1024 };

int listen_socket(const char *address)
{
    struct sockaddr_storage ss;
    int len = sizeof ss, one = 1, fd;
    if (evutil_parse_sockaddr_port(address, (struct sockaddr *)&ss, &len) != 0) {
        errno = EINVAL;
        return -1;
    }
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&ss, (socklen_t)len) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int saved = errno;
        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Kept for the moment when there is no other: with it the connection that waits is taken, and closed. */
static int spare_fd = -1;

static void keep_spare(void)
{
    if (spare_fd < 0)
        spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept_error(struct evconnlistener *listener, void *arg)
{
    static struct log_limit limit;
    int error = errno, fd;
    (void)arg;
    if (log_allow(&limit))
        log_error(NULL, "cannot accept a connection, it is closed", log_str("error", strerror(error)),
                  log_int("suppressed", limit.suppressed));
    if (spare_fd >= 0)
        close(spare_fd);
    spare_fd = -1;
    fd = accept(evconnlistener_get_fd(listener), NULL, NULL);
    if (fd >= 0)
        close(fd);
    keep_spare();
}

void listen_guard(struct evconnlistener *listener)
{
    keep_spare();
    evconnlistener_set_error_cb(listener, on_accept_error);
}

int listen_http(struct evhttp *http, const char *address)
{
    int fd = listen_socket(address);
    struct evhttp_bound_socket *bound = fd >= 0 ? evhttp_accept_socket_with_handle(http, fd) : NULL;
    if (!bound) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    listen_guard(evhttp_bound_socket_get_listener(bound));
    return 0;
}
