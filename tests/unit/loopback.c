#include "tests/unit/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { FIRST = 10000, END = 32500, BLOCK = 900, BLOCKS = (END - FIRST) / BLOCK };

/* The name lives as long as the process: the socket is never closed. */
static bool lease(int first)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int len = snprintf(un.sun_path + 1, sizeof un.sun_path - 1, "ringfleet-test-ports-%d", first);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (bind(fd, (struct sockaddr *)&un, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) == 0)
        return true;
    assert_int_equal(errno, EADDRINUSE);
    close(fd);
    return false;
}

static int own_block(void)
{
    for (int i = 0; i < BLOCKS; i++) {
        int first = FIRST + (getpid() + i) % BLOCKS * BLOCK;
        if (lease(first))
            return first;
    }
    fail_msg("every block of ports is in use: too many tests at once");
    return 0;
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in in = {AF_INET, htons(port), {htonl(INADDR_LOOPBACK)}, {0}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    assert_true(fd >= 0);
    /* as the servers do: connections of an earlier one may still be closing */
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one), 0);
    bool is = bind(fd, (struct sockaddr *)&in, sizeof in) == 0;
    close(fd);
    return is;
}

uint16_t free_port(void)
{
    static int block, given;
    if (!block)
        block = own_block();
    for (int i = 0; i < BLOCK; i++) {
        uint16_t port = (uint16_t)(block + given++ % BLOCK);
        if (is_free(port))
            return port;
    }
    fail_msg("none of %d ports is free", BLOCK);
    return 0;
}
