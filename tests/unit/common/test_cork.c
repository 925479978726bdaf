#include "common/pg/cork.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/unit.h"

enum { LONG_MS = 20000 };

struct pair {
    int near, far;
};

static struct pair tcp_pair(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    struct pair pair = {.near = socket(AF_INET, SOCK_STREAM, 0)};
    assert_int_equal(bind(listener, (struct sockaddr *)&in, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&in, &len), 0);
    assert_int_equal(connect(pair.near, (struct sockaddr *)&in, len), 0);
    pair.far = accept(listener, NULL, NULL);
    assert_true(pair.far >= 0);
    close(listener);
    return pair;
}

static void say(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static bool heard(int fd, int ms)
{
    struct pollfd in = {.fd = fd, .events = POLLIN};
    return poll(&in, 1, ms) == 1;
}

static void assert_heard(int fd, const char *text)
{
    char got[64] = "";
    assert_true(heard(fd, LONG_MS));
    assert_int_equal(read(fd, got, sizeof got - 1), strlen(text));
    assert_string_equal(got, text);
}

static void test_a_turn_leaves_in_one_piece(void **state)
{
    struct event_base *base = event_base_new();
    struct cork cork;
    struct pair pair = tcp_pair();
    (void)state;
    assert_int_equal(cork_init(&cork, base), 0);
    for (int turn = 0; turn < 2; turn++) {
        cork_put_in(&cork, pair.near);
        say(pair.near, "one ");
        cork_put_in(&cork, pair.near);
        say(pair.near, "two");
        assert_false(heard(pair.far, 0));
        event_base_loop(base, EVLOOP_NONBLOCK);
        assert_heard(pair.far, "one two");
    }
    cork_release(&cork);
    close(pair.near);
    close(pair.far);
    event_base_free(base);
}

static void test_the_first_may_go_ahead(void **state)
{
    struct event_base *base = event_base_new();
    struct cork cork;
    struct pair pair = tcp_pair();
    (void)state;
    assert_int_equal(cork_init(&cork, base), 0);
    for (int turn = 0; turn < 2; turn++) {
        cork_let_first_through(&cork, pair.near);
        say(pair.near, "one");
        assert_heard(pair.far, "one");
        cork_let_first_through(&cork, pair.near);
        say(pair.near, "two ");
        cork_let_first_through(&cork, pair.near);
        say(pair.near, "three");
        assert_false(heard(pair.far, 0));
        event_base_loop(base, EVLOOP_NONBLOCK);
        assert_heard(pair.far, "two three");
    }
    cork_release(&cork);
    close(pair.near);
    close(pair.far);
    event_base_free(base);
}

static void test_a_socket_without_a_cork(void **state)
{
    struct event_base *base = event_base_new();
    struct cork cork;
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(cork_init(&cork, base), 0);
    cork_put_in(&cork, pair[0]);
    say(pair[0], "one");
    assert_heard(pair[1], "one");
    event_base_loop(base, EVLOOP_NONBLOCK);
    cork_release(&cork);
    close(pair[0]);
    close(pair[1]);
    event_base_free(base);
}

/* The number of a socket that was closed may be somebody else's by the end of the turn. */
static void test_a_closed_socket_is_forgotten(void **state)
{
    struct event_base *base = event_base_new();
    struct cork cork;
    struct pair pair = tcp_pair();
    int in = 1, value;
    socklen_t len = sizeof value;
    (void)state;
    assert_int_equal(cork_init(&cork, base), 0);
    cork_put_in(&cork, pair.near);
    cork_forget(&cork);
    assert_int_equal(setsockopt(pair.near, IPPROTO_TCP, TCP_CORK, &in, sizeof in), 0); /* the new owner's */
    event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(getsockopt(pair.near, IPPROTO_TCP, TCP_CORK, &value, &len), 0);
    assert_int_equal(value, 1);
    cork_release(&cork);
    close(pair.near);
    close(pair.far);
    event_base_free(base);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_turn_leaves_in_one_piece),
        cmocka_unit_test(test_the_first_may_go_ahead),
        cmocka_unit_test(test_a_socket_without_a_cork),
        cmocka_unit_test(test_a_closed_socket_is_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
