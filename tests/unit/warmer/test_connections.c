#include "warmer/connections.h"

#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/http.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "tests/unit/unit.h"

/* A server on one loop with a client that writes bytes. */
static struct event_base *base;
static struct evhttp *http;
static struct connections *connections;
static metric_value numbers[3];
static int begun, served;

static void on_begun(void *arg)
{
    assert_ptr_equal(arg, &begun);
    begun++;
}

static void on_request(struct evhttp_request *request, void *arg)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    (void)arg;
    served++;
    connections_busy(connections, connection);
    connections_idle(connections, connection);
    evhttp_send_reply(request, 200, "OK", NULL);
}

static int connect_client(struct evhttp_bound_socket *bound)
{
    struct sockaddr_in to;
    socklen_t len = sizeof to;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&to, &len);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

static int set_up(void **state)
{
    static int fd;
    struct connections_spec spec = {.max = 4, .request_max_ms = 10000, .buffer_max = 4096, .open = &numbers[0],
                                    .pauses = &numbers[1], .slow = &numbers[2], .on_begun = on_begun, .arg = &begun};
    begun = served = 0;
    spec.base = base = event_base_new();
    spec.http = http = evhttp_new(base);
    spec.socket = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    connections = connections_new(&spec);
    evhttp_set_gencb(http, on_request, NULL);
    fd = connect_client(spec.socket);
    *state = &fd;
    return connections ? 0 : -1;
}

static int tear_down(void **state)
{
    close(*(int *)*state);
    evhttp_free(http);
    connections_free(connections);
    event_base_free(base);
    return 0;
}

static void say(int fd, const char *text, const int *what, int until)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    while (*what < until)
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
}

static void test_each_request_begins_once_with_its_first_bytes(void **state)
{
    int fd = *(int *)*state;
    say(fd, "GET /a HT", &begun, 1);
    assert_int_equal(served, 0);
    say(fd, "TP/1.1\r\nHost: a\r\n\r\n", &served, 1);
    assert_int_equal(begun, 1);
    say(fd, "G", &begun, 2);
    assert_int_equal(served, 1);
    say(fd, "ET /b HTTP/1.1\r\nHost: a\r\n\r\n", &served, 2);
    assert_int_equal(begun, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_request_begins_once_with_its_first_bytes, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
