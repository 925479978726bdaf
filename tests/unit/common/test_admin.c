#include "common/base/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>

#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"

enum { GIVE_UP_SECONDS = 20 };

struct fixture {
    struct event_base *base;
    struct admin *admin;
    const char *why; /* what not_ready says */
    uint16_t port;
    bool closed;
    char reply[8192];
};

static const char *not_ready(void *arg)
{
    return ((struct fixture *)arg)->why;
}

static void print_metrics(struct evbuffer *out, void *arg)
{
    (void)arg;
    evbuffer_add_printf(out, "ringfleet_test 1\n");
}

static struct admin *start_admin(struct fixture *f)
{
    char listen[32];
    struct admin_spec spec = {listen, not_ready, print_metrics, f};
    snprintf(listen, sizeof listen, "127.0.0.1:%u", f->port);
    return admin_new(f->base, &spec);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->base = event_base_new();
    f->port = free_port();
    assert_non_null(f->base);
    f->admin = start_admin(f);
    assert_non_null(f->admin);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    admin_free(f->admin);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void on_client_event(struct bufferevent *bev, short what, void *arg)
{
    struct fixture *f = arg;
    (void)bev;
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) {
        f->closed = true;
        event_base_loopbreak(f->base);
    }
}

/* Sends a request and turns the loop until the server has closed; the whole answer is in f->reply. */
static void ask(struct fixture *f, const char *request)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(f->port)};
    struct timeval give_up = {GIVE_UP_SECONDS, 0};
    struct bufferevent *bev = bufferevent_socket_new(f->base, -1, BEV_OPT_CLOSE_ON_FREE);
    size_t len;
    assert_non_null(bev);
    f->closed = false;
    bufferevent_setcb(bev, NULL, NULL, on_client_event, f);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
    bufferevent_write(bev, request, strlen(request));
    assert_int_equal(bufferevent_socket_connect(bev, (struct sockaddr *)&in, sizeof in), 0);
    event_base_loopexit(f->base, &give_up);
    event_base_dispatch(f->base);
    assert_true(f->closed);
    len = bufferevent_read(bev, f->reply, sizeof f->reply - 1);
    f->reply[len] = '\0';
    bufferevent_free(bev);
}

static void get(struct fixture *f, const char *path)
{
    char request[256];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path);
    ask(f, request);
}

static void assert_reply(const struct fixture *f, const char *status, const char *body)
{
    const char *end = strstr(f->reply, "\r\n\r\n");
    if (strncmp(f->reply, status, strlen(status)) != 0)
        fail_msg("wanted %s, got: %s", status, f->reply);
    assert_non_null(end);
    assert_string_equal(end + 4, body);
}

static void test_healthz(void **state)
{
    struct fixture *f = *state;
    f->why = "the health of the loop does not depend on this";
    get(f, "/healthz");
    assert_reply(f, "HTTP/1.1 200 ", "ok\n");
}

static void test_readyz(void **state)
{
    struct fixture *f = *state;
    get(f, "/readyz");
    assert_reply(f, "HTTP/1.1 200 ", "ready\n");
    f->why = "no connection to Redis yet";
    get(f, "/readyz");
    assert_reply(f, "HTTP/1.1 503 ", "no connection to Redis yet\n");
}

static void test_metrics(void **state)
{
    struct fixture *f = *state;
    get(f, "/metrics");
    assert_non_null(strstr(f->reply, "\r\n\r\nringfleet_test 1\n# HELP ringfleet_log_lines_lost_total "));
    assert_non_null(strstr(f->reply, "\nringfleet_log_lines_lost_total 0\n"));
    assert_non_null(strstr(f->reply, "Content-Type: text/plain; version=0.0.4"));
}

static void test_unknown_path(void **state)
{
    struct fixture *f = *state;
    get(f, "/");
    assert_int_equal(strncmp(f->reply, "HTTP/1.1 404 ", 13), 0);
    get(f, "/metrics/more");
    assert_int_equal(strncmp(f->reply, "HTTP/1.1 404 ", 13), 0);
}

static void test_only_get(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    assert_int_equal(strncmp(f->reply, "HTTP/1.1 501 ", 13), 0);
}

static void test_oversized_header_is_refused(void **state)
{
    struct fixture *f = *state;
    char request[16 * 1024];
    int len = snprintf(request, sizeof request, "GET /healthz HTTP/1.1\r\nConnection: close\r\nX-Long: ");
    memset(request + len, 'x', 12 * 1024);
    strcpy(request + len + 12 * 1024, "\r\n\r\n");
    ask(f, request);
    assert_null(strstr(f->reply, " 200 "));
    get(f, "/healthz");
    assert_reply(f, "HTTP/1.1 200 ", "ok\n");
}

static void test_garbage_harms_nobody_else(void **state)
{
    struct fixture *f = *state;
    ask(f, "\x16\x03\x01 this is no HTTP\r\n\r\n");
    assert_null(strstr(f->reply, " 200 "));
    get(f, "/healthz");
    assert_reply(f, "HTTP/1.1 200 ", "ok\n");
}

static void test_address_in_use(void **state)
{
    struct fixture *f = *state;
    struct admin *second = start_admin(f);
    assert_null(second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_healthz, setup, teardown),
        cmocka_unit_test_setup_teardown(test_readyz, setup, teardown),
        cmocka_unit_test_setup_teardown(test_metrics, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unknown_path, setup, teardown),
        cmocka_unit_test_setup_teardown(test_only_get, setup, teardown),
        cmocka_unit_test_setup_teardown(test_oversized_header_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_garbage_harms_nobody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(test_address_in_use, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
