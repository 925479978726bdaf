#include "tests/unit/common/redis_sentinel.h"

#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"

enum { ROOM = 1024 };

static int listen_at(uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    assert_int_equal(listen(fd, SOMAXCONN), 0);
    return fd;
}

/* Each connection asks one question, in one piece, and is closed by who asked. */
static void serve(int listener, uint16_t primary)
{
    char port[8], answer[64], asked[ROOM];
    int digits = snprintf(port, sizeof port, "%u", primary);
    int len = snprintf(answer, sizeof answer, "*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%s\r\n", digits, port);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        while (read(fd, asked, sizeof asked) > 0 && write(fd, answer, (size_t)len) == len)
            continue;
    }
}

void redis_sentinel_start(struct redis_sentinel *s, uint16_t primary)
{
    int listener;
    if (!s->port)
        s->port = free_port();
    listener = listen_at(s->port);
    s->pid = fork();
    assert_true(s->pid >= 0);
    if (s->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        serve(listener, primary);
        _exit(1);
    }
    close(listener);
}

const char *redis_sentinel_url(const struct redis_sentinel s[3], int first, char out[128])
{
    snprintf(out, 128, "redis+sentinel://127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u/mymaster", s[first].port,
             s[(first + 1) % 3].port, s[(first + 2) % 3].port);
    return out;
}

void redis_sentinel_kill(struct redis_sentinel *s)
{
    assert_int_equal(kill(s->pid, SIGKILL), 0);
    assert_int_equal(waitpid(s->pid, NULL, 0), s->pid);
}
