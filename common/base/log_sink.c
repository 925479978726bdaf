/* O_NONBLOCK belongs to what was opened, not to our number for it: set on stderr, it would be set for
 * whoever else writes there, and fail writes that do not expect it. So a pipe (or terminal) is opened
 * once more through /proc; a socket is asked with each message. Where neither can be done the descriptor
 * is looked at first: it may then still wait, but only if another process fills the pipe in between. */
#include "common/base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert((int)LOG_LINE_MAX <= PIPE_BUF, "a line is written to a pipe as one, or not");

static struct {
    pthread_mutex_t lock;
    enum { SINK_WAITS, SINK_OPENED, SINK_SOCKET, SINK_LOOKS } way;
    int fd;
    char rest[LOG_LINE_MAX]; /* of a line that a terminal or socket took in part */
    size_t rest_len;
} sink = {.lock = PTHREAD_MUTEX_INITIALIZER, .fd = STDERR_FILENO};

void log_sink_never_wait(void)
{
    struct stat st;
    int own = -1;
    if (fstat(STDERR_FILENO, &st) != 0 || S_ISREG(st.st_mode))
        return; /* nobody reads a file but its disk */
    pthread_mutex_lock(&sink.lock);
    if (S_ISFIFO(st.st_mode) || isatty(STDERR_FILENO))
        own = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (own >= 0)
        sink.fd = own;
    sink.way = own >= 0 ? SINK_OPENED : S_ISSOCK(st.st_mode) ? SINK_SOCKET : SINK_LOOKS;
    pthread_mutex_unlock(&sink.lock);
}

static ssize_t put(const char *bytes, size_t len)
{
    struct pollfd pfd = {.fd = sink.fd, .events = POLLOUT};
    if (sink.way == SINK_SOCKET)
        return send(sink.fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sink.way == SINK_LOOKS && poll(&pfd, 1, 0) == 0)
        return -1;
    return write(sink.fd, bytes, len);
}

static bool put_rest(void)
{
    ssize_t n = sink.rest_len > 0 ? put(sink.rest, sink.rest_len) : 0;
    if (n > 0) {
        sink.rest_len -= (size_t)n;
        memmove(sink.rest, sink.rest + n, sink.rest_len);
    }
    return sink.rest_len == 0;
}

bool log_sink_write(const char *line, size_t len)
{
    ssize_t n = -1;
    pthread_mutex_lock(&sink.lock);
    if (put_rest())
        n = put(line, len);
    if (n > 0 && (size_t)n < len) {
        sink.rest_len = len - (size_t)n;
        memcpy(sink.rest, line + n, sink.rest_len);
    }
    pthread_mutex_unlock(&sink.lock);
    return n > 0;
}
