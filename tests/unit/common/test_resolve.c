#include "common/base/resolve.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"

enum { GIVE_UP_SECONDS = 20 };

struct fixture {
    struct event_base *base;
    struct resolver *resolver;
    int answers;
    char text[64]; /* "address port" or the error */
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->base = event_base_new();
    assert_non_null(f->base);
    f->resolver = resolver_new(f->base);
    assert_non_null(f->resolver);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    resolver_free(f->resolver);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void on_answer(const char *error, const struct sockaddr *addr, socklen_t len, void *arg)
{
    struct fixture *f = arg;
    char host[INET6_ADDRSTRLEN];
    f->answers++;
    if (error) {
        snprintf(f->text, sizeof f->text, "error: %.40s", error);
    } else if (addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const void *)addr;
        assert_int_equal(len, sizeof *in6);
        snprintf(f->text, sizeof f->text, "%s %u", inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host),
                 ntohs(in6->sin6_port));
    } else {
        const struct sockaddr_in *in = (const void *)addr;
        assert_int_equal(len, sizeof *in);
        snprintf(f->text, sizeof f->text, "%s %u", inet_ntop(AF_INET, &in->sin_addr, host, sizeof host),
                 ntohs(in->sin_port));
    }
    event_base_loopbreak(f->base);
}

static void turn(struct fixture *f, int seconds)
{
    struct timeval give_up = {seconds, 0};
    event_base_loopexit(f->base, &give_up);
    event_base_dispatch(f->base);
}

/* Numbers are answered before resolve() returns. */
static void test_numeric(void **state)
{
    struct fixture *f = *state;
    assert_null(resolve(f->resolver, "192.0.2.7", 6379, on_answer, f));
    assert_int_equal(f->answers, 1);
    assert_string_equal(f->text, "192.0.2.7 6379");
    assert_null(resolve(f->resolver, "2001:db8::7", 65535, on_answer, f));
    assert_int_equal(f->answers, 2);
    assert_string_equal(f->text, "2001:db8::7 65535");
}

static void test_localhost(void **state)
{
    struct fixture *f = *state;
    if (resolve(f->resolver, "localhost", 80, on_answer, f))
        turn(f, GIVE_UP_SECONDS);
    assert_int_equal(f->answers, 1);
    if (strcmp(f->text, "::1 80") != 0)
        assert_string_equal(f->text, "127.0.0.1 80");
}

static void test_no_such_name(void **state)
{
    struct fixture *f = *state;
    if (resolve(f->resolver, "", 80, on_answer, f))
        turn(f, GIVE_UP_SECONDS);
    assert_int_equal(f->answers, 1);
    assert_int_equal(strncmp(f->text, "error: ", 7), 0);
}

/* A name that needs a name server, whatever the machine's answers; cancelled before any can come. */
static void test_cancelled_request_never_calls_back(void **state)
{
    struct fixture *f = *state;
    struct resolve_request *request = resolve(f->resolver, "cancelled.ringfleet.invalid", 80, on_answer, f);
    assert_non_null(request);
    resolve_cancel(request);
    event_base_loop(f->base, EVLOOP_NONBLOCK);
    resolve_cancel(NULL);
    assert_int_equal(f->answers, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numeric, setup, teardown),
        cmocka_unit_test_setup_teardown(test_localhost, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_such_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_request_never_calls_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
