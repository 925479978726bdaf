/* The journal against a real redis-server that dies, refuses and forgets. */
#include "tests/unit/worker/journal_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/log.h"

/* All entries have ids 3-7, 3-8, ... and the messages m8, m9, ... in order. */
static void expect_gapless(struct fixture *f, size_t count)
{
    redisReply *all = ask(f, "XRANGE " WRITES " - +");
    assert_int_equal(all->elements, count);
    for (size_t i = 0; i < count; i++) {
        char id[32], message[32];
        snprintf(id, sizeof id, "3-%zu", 7 + i);
        snprintf(message, sizeof message, "m%zu", 7 + i);
        assert_string_equal(all->element[i]->element[0]->str, id);
        if (i > 0)
            assert_string_equal(all->element[i]->element[1]->element[9]->str, message);
    }
    freeReplyObject(all);
}

static void test_in_order(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 27);
    wait_until(f, f->journal.waiting == 0);
    expect_gapless(f, 21);
    assert_int_equal(metric_get(&f->w->metrics.journal_appended), 20);
}

/* The server dies with entries under way and comes back with its AOF. */
static void test_server_restarted(void **state)
{
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++) {
        say_numbered(f, 8 + 10 * round, 12 + 10 * round);
        wait_until(f, f->journal.waiting <= 3); /* some are in, one is under way */
        redis_server_kill(&f->server);
        say_numbered(f, 13 + 10 * round, 17 + 10 * round);
        wait_until(f, !f->up);
        redis_server_start(&f->server, NULL);
        wait_until(f, f->up && f->journal.waiting == 0);
    }
    expect_gapless(f, 31);
}

/* Whoever waits is told when what was accepted by then is there, not before, and once. */
static void test_awaited(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 10);
    assert_false(journal_has_kept(&f->journal, f->journal.given));
    journal_await(&f->journal);
    say_numbered(f, 11, 30);
    wait_until(f, f->outcome == JOURNAL_KEPT);
    assert_true(journal_has_kept(&f->journal, 3));
    assert_true(f->journal.waiting > 0); /* the later ones were not waited for */
    f->outcome = -1;
    wait_until(f, f->journal.waiting == 0);
    assert_int_equal(f->outcome, -1);
    expect_gapless(f, 24);
}

/* Redis goes before it has answered: told when it is back and was looked at. */
static void test_awaited_over_a_restart(void **state)
{
    struct fixture *f = *state;
    redis_server_kill(&f->server);
    say_numbered(f, 8, 9);
    journal_await(&f->journal);
    wait_until(f, !f->up);
    assert_int_equal(f->outcome, -1);
    redis_server_start(&f->server, NULL);
    wait_until(f, f->outcome == JOURNAL_KEPT);
    expect_gapless(f, 3);
}

static void test_fenced(void **state)
{
    struct fixture *f = *state;
    redis_server_do(&f->server, NULL, "HSET rf:{p0}:call:" SID ":session epoch 4 worker w2 stream_sid MZ2");
    redis_server_do(&f->server, NULL, "XADD " WRITES " 4-8 type callsession_update");
    say(f, "too late");
    wait_until(f, f->outcome == JOURNAL_FENCED);
    say(f, "refused");
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 1);
    redisReply *len = ask(f, "XLEN " WRITES);
    assert_int_equal(len->integer, 2);
    freeReplyObject(len);
}

static void expect_id(struct fixture *f, int back, const char *id, const char *type)
{
    redisReply *all = ask(f, "XREVRANGE " WRITES " + -");
    assert_true((size_t)back < all->elements);
    assert_string_equal(all->element[back]->element[0]->str, id);
    assert_string_equal(all->element[back]->element[1]->element[1]->str, type);
    freeReplyObject(all);
}

/* What rf_reap leaves of a call whose worker was not heard of: here after 3-10. */
static void reap(struct fixture *f)
{
    redis_server_do(&f->server, NULL, "XADD " WRITES " 4-11 type call_end");
    redis_server_do(&f->server, NULL, "HSET rf:{p0}:call:" SID ":session epoch 4 phase ended reason worker_lost");
}

/* Believed dead and only cut off: the call comes back, and what waits follows without a gap. */
static void test_taken_back(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 10);
    wait_until(f, f->journal.waiting == 0);
    reap(f);
    say_numbered(f, 11, 13);
    wait_until(f, f->journal.waiting == 0);
    assert_int_equal(f->outcome, -1);
    assert_int_equal(metric_get(&f->w->metrics.journal_reclaimed), 1);
    expect_id(f, 4, "4-11", "call_end");
    expect_id(f, 3, "5-12", "callsession_update");
    expect_id(f, 2, "5-13", "turn");
    expect_id(f, 0, "5-15", "turn");
    redisReply *live = ask(f, "ZSCORE rf:{p0}:live " SID);
    assert_int_equal(live->type, REDIS_REPLY_STRING);
    freeReplyObject(live);
    redisReply *phase = ask(f, "HGET rf:{p0}:call:" SID ":session phase");
    assert_string_equal(phase->str, "live");
    freeReplyObject(phase);
}

/* An entry whose answer was lost, and which was accepted, is not written again at the new epoch. */
static void test_taken_back_without_doubling(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 9);
    wait_until(f, f->journal.waiting == 0);
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 1");
    say(f, "m10");
    wait_until(f, event_pending(&f->journal.retry, EV_TIMEOUT, NULL));
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 0");
    redis_server_do(&f->server, NULL, "XADD " WRITES " 3-10 type turn"); /* it had arrived after all */
    reap(f);
    say(f, "m11");
    wait_until(f, f->journal.waiting == 0);
    expect_id(f, 2, "4-11", "call_end");
    expect_id(f, 1, "5-12", "callsession_update");
    expect_id(f, 0, "5-13", "turn");
    redisReply *len = ask(f, "XLEN " WRITES);
    assert_int_equal(len->integer, 7); /* 3-7 to 3-10, 4-11, 5-12, 5-13 */
    freeReplyObject(len);
}

static void lose_connection(struct fixture *f)
{
    redis_server_do(&f->server, NULL, "CLIENT KILL TYPE normal SKIPME yes");
}

/* The replica that took over lacks what the primary acknowledged last: it is sent again, before what is new. */
static void test_a_replica_that_was_behind(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 12);
    wait_until(f, f->journal.waiting == 0);
    redis_server_do(&f->server, NULL, "DEL " WRITES);
    redis_server_do(&f->server, NULL, "XADD " WRITES " 3-7 type callsession_update");
    redis_server_do(&f->server, NULL, "XADD " WRITES " 3-8 type turn by worker at 1 speaker caller message m8");
    lose_connection(f);
    wait_until(f, !f->up);
    say(f, "m13");
    wait_until(f, f->up && f->journal.waiting == 0);
    expect_gapless(f, 7);
    assert_int_equal(metric_get(&f->w->metrics.journal_repeated), 4);
    assert_int_equal(f->journal.kept, 6);
}

/* It does not even know that this worker has the call. */
static void test_a_replica_that_lacks_the_claim(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 9);
    wait_until(f, f->journal.waiting == 0);
    redis_server_do(&f->server, NULL, "DEL " WRITES);
    redis_server_do(&f->server, NULL, "XADD " WRITES " 2-5 type turn");
    redis_server_do(&f->server, NULL, "HSET " SESSION " epoch 2 worker w0 stream_sid MZ0");
    lose_connection(f);
    wait_until(f, metric_get(&f->w->metrics.journal_reclaimed) == 1 && f->journal.waiting == 0);
    expect_id(f, 2, "3-6", "callsession_update");
    expect_id(f, 1, "3-7", "turn");
    expect_id(f, 0, "3-8", "turn");
    assert_int_equal(f->outcome, -1);
    redisReply *worker = ask(f, "HGET " SESSION " worker");
    assert_string_equal(worker->str, "w1");
    freeReplyObject(worker);
}

/* Nothing to say for a while: the renewal of the lease notices. */
static void test_lease_notices(void **state)
{
    struct fixture *f = *state;
    redis_server_do(&f->server, NULL, "ZADD rf:{p0}:live 1 " SID);
    journal_renew(&f->journal);
    wait_until(f, !f->journal.lease);
    assert_int_equal(metric_get(&f->w->metrics.journal_reclaimed), 0);
    say_numbered(f, 8, 10);
    wait_until(f, f->journal.waiting == 0);
    reap(f);
    redis_server_do(&f->server, NULL, "ZREM rf:{p0}:live " SID);
    journal_renew(&f->journal);
    wait_until(f, metric_get(&f->w->metrics.journal_reclaimed) == 1);
    expect_id(f, 0, "5-12", "callsession_update");
}

static int handed_over(struct fixture *f)
{
    redisReply *reply = ask(f, "HGET rf:{p0}:call:" SID ":session handed_over");
    int epoch = reply->type == REDIS_REPLY_STRING ? atoi(reply->str) : 0;
    freeReplyObject(reply);
    return epoch;
}

/* Handed over: all entries, but no end, and the session tells. */
static void test_leave(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 10);
    journal_leave(&f->journal);
    assert_int_equal(f->outcome, -1); /* told from the loop */
    wait_until(f, f->outcome == JOURNAL_ENDED);
    expect_gapless(f, 4);
    wait_until(f, handed_over(f) == 3);
}

/* A purged journal is not born again. */
static void test_journal_gone(void **state)
{
    struct fixture *f = *state;
    redis_server_do(&f->server, NULL, "UNLINK " WRITES);
    say(f, "nobody waits for this");
    wait_until(f, f->outcome == JOURNAL_FENCED);
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 1);
    redisReply *there = ask(f, "EXISTS " WRITES);
    assert_int_equal(there->integer, 0);
    freeReplyObject(there);
}

/* What it has acknowledged and lost again counts as lost. */
static void test_redis_was_emptied(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 12);
    wait_until(f, f->journal.waiting == 0);
    redis_server_do(&f->server, NULL, "DEL " SESSION " " WRITES " rf:{p0}:live");
    journal_kick(&f->journal);
    wait_until(f, f->outcome == JOURNAL_FENCED);
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 5);
}

/* Memory full: refused now, taken when there is room again, nothing lost and no hole. */
static void test_memory_full(void **state)
{
    struct fixture *f = *state;
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 1");
    say_numbered(f, 8, 12);
    wait_until(f, event_pending(&f->journal.retry, EV_TIMEOUT, NULL));
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 0");
    wait_until(f, f->journal.waiting == 0);
    expect_gapless(f, 6);
}

static void test_bound(void **state)
{
    struct fixture *f = *state;
    redis_server_kill(&f->server);
    wait_until(f, !f->up);
    say_numbered(f, 8, 8 + JOURNAL_WAITING_MAX + 4);
    assert_int_equal(f->journal.waiting, JOURNAL_WAITING_MAX);
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 5);
    assert_int_equal(f->journal.seq, 7 + JOURNAL_WAITING_MAX); /* no number was wasted */
    journal_release(&f->journal);
    f->journal.w = NULL;
    assert_int_equal(metric_get(&f->w->metrics.journal_refused), 5 + JOURNAL_WAITING_MAX); /* there is no spool */
}

static void test_end(void **state)
{
    struct fixture *f = *state;
    say_numbered(f, 8, 10);
    journal_end(&f->journal, "agent_hangup", "hangup", "{\"turns\":3}");
    wait_until(f, f->outcome == JOURNAL_ENDED);
    redisReply *last = ask(f, "XREVRANGE " WRITES " + - COUNT 1");
    assert_string_equal(last->element[0]->element[0]->str, "3-11");
    assert_string_equal(last->element[0]->element[1]->element[1]->str, "call_end");
    freeReplyObject(last);
    redisReply *verdict = ask(f, "HGET rf:{p0}:call:" SID ":session verdict");
    assert_string_equal(verdict->str, "hangup");
    freeReplyObject(verdict);
    redisReply *ended = ask(f, "XLEN rf:{p0}:ended");
    assert_int_equal(ended->integer, 1);
    freeReplyObject(ended);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_restarted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_awaited, setup, teardown),
        cmocka_unit_test_setup_teardown(test_awaited_over_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fenced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_redis_was_emptied, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taken_back_without_doubling, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_replica_that_was_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_replica_that_lacks_the_claim, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lease_notices, setup, teardown),
        cmocka_unit_test_setup_teardown(test_leave, setup, teardown),
        cmocka_unit_test_setup_teardown(test_journal_gone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_end, setup, teardown),
    };
    log_init("test");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
