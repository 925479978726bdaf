/* A round of a loop ends, however busy its sockets are: what is done once a round (steps, what was learned of the time
 * that is left) would else wait until nobody says anything. */
#include "worker/round.h"

#include "tests/unit/unit.h"

#include <unistd.h>

enum { SOCKETS = 3, TOO_OFTEN = 100 };

static struct event_base *base;
static struct event *events[SOCKETS];
static int ends[2], served;

/* Nothing is read: it is ready again at once. */
static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    if (++served == TOO_OFTEN)
        event_base_loopbreak(base);
}

static int setup(void **state)
{
    (void)state;
    served = 0;
    base = round_base_new();
    assert_non_null(base);
    assert_int_equal(pipe(ends), 0);
    for (int i = 0; i < SOCKETS; i++) {
        events[i] = event_new(base, dup(ends[0]), EV_READ | EV_PERSIST, on_readable, NULL);
        assert_non_null(events[i]);
        assert_int_equal(event_add(events[i], NULL), 0);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < SOCKETS; i++) {
        close(event_get_fd(events[i]));
        event_free(events[i]);
    }
    event_base_free(base);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

static void make_readable(void)
{
    assert_int_equal(write(ends[1], "x", 1), 1);
}

static void test_a_look_serves_each_once(void **state)
{
    (void)state;
    make_readable();
    assert_true(round_once(base, false));
    assert_int_equal(served, SOCKETS);
    assert_true(round_once(base, false));
    assert_int_equal(served, 2 * SOCKETS);
}

static void test_a_wait_serves_each_once(void **state)
{
    (void)state;
    make_readable();
    assert_true(round_once(base, true));
    assert_int_equal(served, SOCKETS);
}

static void test_a_look_at_nothing(void **state)
{
    (void)state;
    assert_true(round_once(base, false));
    assert_int_equal(served, 0);
}

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
    (void)fd, (void)what, (void)arg;
    event_base_loopbreak(base);
}

static void test_told_to_stop(void **state)
{
    const struct timeval now = {0, 0};
    (void)state;
    assert_int_equal(event_base_once(base, -1, EV_TIMEOUT, on_stop, NULL, &now), 0);
    assert_false(round_once(base, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_look_serves_each_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_wait_serves_each_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_look_at_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_told_to_stop, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
