#include "common/base/listen.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/http.h>
#include <event2/util.h>

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

int listen_http(struct evhttp *http, const char *address)
{
    int fd = listen_socket(address);
    if (fd < 0)
        return -1;
    if (evhttp_accept_socket(http, fd) != 0) {
        close(fd);
        return -1;
    }
    return 0;
}
