/* Connections go to the loop that carries the fewest, and the loops here are two numbers each. */
#include "worker/acceptor.h"

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <event2/event.h>

#include "common/base/log.h"
#include "tests/unit/loopback.h"

struct loop {
    int load;
    bool full;
};

int loop_load(const struct loop *loop)
{
    return loop->load;
}

int loop_give(struct loop *loop, int fd)
{
    close(fd);
    if (loop->full)
        return -1;
    loop->load++;
    return 0;
}

struct fixture {
    struct event_base *base;
    struct acceptor *acceptor;
    struct loop loops[4];
    struct loop *pointers[4];
    metric_value refused;
    struct sockaddr_in address;
};

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    char listen[32];
    for (int i = 0; i < 4; i++)
        f->pointers[i] = &f->loops[i];
    f->address = (struct sockaddr_in){AF_INET, htons(free_port()), {htonl(INADDR_LOOPBACK)}, {0}};
    snprintf(listen, sizeof listen, "127.0.0.1:%d", ntohs(f->address.sin_port));
    f->base = event_base_new();
    f->acceptor = acceptor_new(f->base, listen, f->pointers, 4, &f->refused);
    assert_non_null(f->acceptor);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    acceptor_free(f->acceptor);
    event_base_free(f->base);
    free(f);
    return 0;
}

static void knock(struct fixture *f, int times)
{
    for (int i = 0; i < times; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&f->address, sizeof f->address), 0);
        event_base_loop(f->base, EVLOOP_ONCE);
        close(fd);
    }
}

static void expect_loads(const struct fixture *f, int a, int b, int c, int d)
{
    const int wanted[] = {a, b, c, d};
    for (int i = 0; i < 4; i++)
        assert_int_equal(f->loops[i].load, wanted[i]);
}

static void test_equals_take_turns(void **state)
{
    knock(*state, 8);
    expect_loads(*state, 2, 2, 2, 2);
}

/* Calls ended on one loop and not on the others: it is filled up first. */
static void test_the_emptiest_is_filled_first(void **state)
{
    struct fixture *f = *state;
    f->loops[0].load = 7;
    f->loops[1].load = 5;
    f->loops[2].load = 0;
    f->loops[3].load = 7;
    knock(f, 5);
    expect_loads(f, 7, 5, 5, 7);
    knock(f, 4);
    expect_loads(f, 7, 7, 7, 7);
}

static void test_a_loop_that_does_not_keep_up(void **state)
{
    struct fixture *f = *state;
    f->loops[0].full = f->loops[1].full = f->loops[2].full = f->loops[3].full = true;
    knock(f, 3);
    assert_int_equal(metric_get(&f->refused), 3);
}

static void test_an_address_that_is_taken(void **state)
{
    struct fixture *f = *state;
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", ntohs(f->address.sin_port));
    assert_null(acceptor_new(f->base, listen, f->pointers, 4, &f->refused));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equals_take_turns, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_emptiest_is_filled_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_loop_that_does_not_keep_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_address_that_is_taken, setup, teardown),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
