/* Each call has its beat once a second, and never many in the same turn of the loop: audio waits for a turn's end. */
#include "worker/heartbeat.h"

#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "worker/call/call.h"

enum { CALLS = 200, IN_A_TURN = 5, LEASE_S = 15 };

static struct worker_config config;
static struct worker w;
static struct call *calls[CALLS];
static struct heartbeat *heart;
static int beats[CALLS], renewals[CALLS], in_turn, leaver = -1;

static int number_of(const struct call *c)
{
    for (int i = 0; i < CALLS; i++) {
        if (calls[i] == c)
            return i;
    }
    fail_msg("a call that is gone");
    return -1;
}

static void leave(struct call *c)
{
    int number = number_of(c);
    *(c->prev ? &c->prev->next : &w.calls) = c->next;
    if (c->next)
        c->next->prev = c->prev;
    w.call_count--;
    calls[number] = NULL;
    free(c);
}

void call_tick(struct call *c)
{
    int number = number_of(c);
    beats[number]++;
    in_turn++;
    if (number == leaver)
        leave(c);
}

void journal_look(struct journal *j)
{
    (void)j;
}

void journal_renew(struct journal *j)
{
    renewals[number_of((struct call *)((char *)j - offsetof(struct call, journal)))]++;
}

static int setup(void **state)
{
    (void)state;
    memset(&w, 0, sizeof w);
    memset(beats, 0, sizeof beats);
    memset(renewals, 0, sizeof renewals);
    leaver = -1;
    config.lease_seconds = LEASE_S;
    w.config = &config;
    w.base = event_base_new();
    for (int i = 0; i < CALLS; i++) {
        struct call *c = calls[i] = calloc(1, sizeof *c);
        assert_non_null(c);
        c->journal.w = &w;
        c->next = w.calls;
        if (c->next)
            c->next->prev = c;
        w.calls = c;
        w.call_count++;
    }
    heart = heartbeat_new(&w);
    assert_non_null(heart);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    heartbeat_free(heart);
    event_base_free(w.base);
    for (int i = 0; i < CALLS; i++)
        free(calls[i]);
    return 0;
}

/* Turns of the loop until the call has had so many beats; the most that were had in one of them. */
static int turns_until(int number, int count)
{
    int most = 0;
    while (beats[number] < count) {
        in_turn = 0;
        assert_int_equal(event_base_loop(w.base, EVLOOP_ONCE), 0);
        most = in_turn > most ? in_turn : most;
    }
    return most;
}

static void test_one_after_the_other(void **state)
{
    (void)state;
    assert_in_range(turns_until(0, 1), 1, IN_A_TURN);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(beats[i], 1);
        assert_int_equal(renewals[i], 1);
    }
    assert_in_range(turns_until(0, 2), 1, IN_A_TURN);
    for (int i = 0; i < CALLS; i++) {
        assert_int_equal(beats[i], 2);
        assert_int_equal(renewals[i], 1); /* a third of a lease is not over */
    }
}

/* Redis is there again: no lease waits for its turn. */
static void test_all_at_once(void **state)
{
    (void)state;
    turns_until(CALLS / 2, 1);
    heartbeat_soon(heart);
    turns_until(0, 1);
    assert_in_range(in_turn, CALLS, CALLS);
    for (int i = 0; i < CALLS; i++)
        assert_in_range(renewals[i], 1, 2);
}

static void test_a_call_ends_with_its_beat(void **state)
{
    (void)state;
    leaver = CALLS / 2;
    turns_until(0, 2);
    for (int i = 0; i < CALLS; i++)
        assert_int_equal(beats[i], i == leaver ? 1 : 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_after_the_other, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_call_ends_with_its_beat, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
