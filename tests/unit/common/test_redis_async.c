/* The connection that comes back by itself, against real servers that are killed, stopped, full,
 * locked or too old. */
#include "common/redis/async.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>

#include "common/redis/functions.h"
#include "tests/unit/capture.h"
#include "tests/unit/loopback.h"
#include "tests/unit/unit.h"
#include "tests/unit/common/redis_sentinel.h"
#include "tests/unit/common/redis_server.h"

enum { GIVE_UP_SECONDS = 20 };

struct fixture {
    struct redis_server server;
    struct event_base *base;
    struct event *give_up;
    struct resolver *resolver;
    struct redis_url url;
    struct redis_async *ra;
    bool late;
    int ups, downs, replies, losses, misfits;
    struct key_space keys; /* checked if there is a prefix */
    int losses_at_down; /* how many callbacks had been told when on_down came */
    char text[4096];    /* of the last reply */
    struct capture capture;
    char logged[64 * 1024];
};

static void on_give_up(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    ((struct fixture *)arg)->late = true;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->base = event_base_new();
    assert_non_null(f->base);
    f->give_up = evtimer_new(f->base, on_give_up, f);
    f->resolver = resolver_new(f->base);
    assert_non_null(f->resolver);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    redis_async_free(f->ra);
    redis_url_release(&f->url);
    resolver_free(f->resolver);
    event_free(f->give_up);
    event_base_free(f->base);
    redis_server_release(&f->server);
    free(f);
    return 0;
}

static void on_up(void *arg)
{
    struct fixture *f = arg;
    f->ups++;
    assert_true(redis_async_up(f->ra));
}

static void on_down(void *arg)
{
    struct fixture *f = arg;
    f->downs++;
    f->losses_at_down = f->losses;
    assert_false(redis_async_up(f->ra));
}

static void on_misfit(void *arg)
{
    struct fixture *f = arg;
    f->misfits++;
}

static void on_reply(redisAsyncContext *ctx, void *r, void *arg)
{
    struct fixture *f = arg;
    const redisReply *reply = r;
    const char *argv[] = {"PING"};
    (void)ctx;
    if (!reply) {
        f->losses++;
        assert_int_equal(redis_async_send(f->ra, on_reply, f, 1, argv, NULL), -1);
        return;
    }
    f->replies++;
    snprintf(f->text, sizeof f->text, "%s", reply->str ? reply->str : "");
}

/* Begins to connect; PORT in the URL is the server's. */
static void begin(struct fixture *f, const char *place)
{
    struct redis_async_spec spec = {.base = f->base, .resolver = f->resolver, .url = &f->url, .name = "tester",
                                    .keys = f->keys.prefix ? &f->keys : NULL, .on_up = on_up, .on_down = on_down,
                                    .on_misfit = on_misfit, .arg = f};
    char text[128], error[128];
    assert_int_equal(redis_url_parse(redis_server_url(&f->server, place, text), &f->url, error, sizeof error), 0);
    f->ra = redis_async_new(&spec);
    assert_non_null(f->ra);
}

/* Turns the loop until the condition holds; fails the test when it takes too long. */
#define TURN_UNTIL(f, condition)                                                 \
    do {                                                                         \
        struct timeval limit_ = {GIVE_UP_SECONDS, 0};                            \
        (f)->late = false;                                                       \
        evtimer_add((f)->give_up, &limit_);                                      \
        while (!(condition) && !(f)->late)                                       \
            event_base_loop((f)->base, EVLOOP_ONCE);                             \
        evtimer_del((f)->give_up);                                               \
        if ((f)->late)                                                           \
            fail_msg("never came: %s", #condition);                              \
    } while (0)

static int send_words(struct fixture *f, const char *a, const char *b, const char *c)
{
    const char *argv[] = {a, b, c};
    return redis_async_send(f->ra, on_reply, f, c ? 3 : b ? 2 : 1, argv, NULL);
}

static void ask(struct fixture *f, const char *a, const char *b)
{
    int before = f->replies;
    assert_int_equal(send_words(f, a, b, NULL), 0);
    TURN_UNTIL(f, f->replies > before);
}

static void test_comes_up_and_says_hello(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT/3");
    assert_false(redis_async_up(f->ra));
    assert_int_equal(send_words(f, "PING", NULL, NULL), -1);
    TURN_UNTIL(f, f->ups == 1);
    ask(f, "CLIENT", "INFO");
    assert_non_null(strstr(f->text, " name=tester "));
    assert_non_null(strstr(f->text, " db=3 "));
    assert_int_equal(f->downs, 0);
}

static void test_unix_socket(void **state)
{
    struct fixture *f = *state;
    char url[64];
    redis_server_start(&f->server, NULL);
    snprintf(url, sizeof url, "unix://%s/redis.sock", f->server.dir);
    begin(f, url);
    TURN_UNTIL(f, f->ups == 1);
    ask(f, "ECHO", "over a file");
    assert_string_equal(f->text, "over a file");
}

static void test_host_by_name(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://localhost:PORT");
    TURN_UNTIL(f, f->ups == 1);
}

static void on_function_reply(redisAsyncContext *ctx, void *r, void *arg)
{
    struct fixture *f = arg;
    const redisReply *reply = r;
    (void)ctx;
    assert_non_null(reply);
    assert_string_equal(redis_word(reply), "GONE");
    assert_string_equal(redis_text(reply, 0), "GONE");
    assert_string_equal(redis_text(reply, 1), "");
    f->replies++;
}

static void test_functions_are_loaded(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"FCALL", REDIS_FUNCTION("rf_fill"), "1", "no-such-call"};
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    assert_int_equal(redis_async_send(f->ra, on_function_reply, f, 4, argv, NULL), 0);
    TURN_UNTIL(f, f->replies == 1);
    assert_string_equal(redis_word(NULL), "");
}

static void test_binary_arguments(void **state)
{
    struct fixture *f = *state;
    const char *argv[] = {"STRLEN", "key"}, *set[] = {"SET", "key", "a\0b\r\n"};
    const size_t lens[] = {3, 3, 5};
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    assert_int_equal(redis_async_send(f->ra, NULL, NULL, 3, set, lens), 0);
    assert_int_equal(redis_async_send(f->ra, on_reply, f, 2, argv, NULL), 0);
    TURN_UNTIL(f, f->replies == 1);
    ask(f, "GETDEL", "key");
    assert_memory_equal(f->text, "a", 2);
}

/* What waits is told "unknown" before the loss is reported, and nothing can be sent meanwhile. */
static void test_killed_and_restarted(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    for (int round = 1; round <= 3; round++) {
        TURN_UNTIL(f, f->ups == round);
        f->losses = 0;
        assert_int_equal(send_words(f, "BLPOP", "nothing", "0"), 0);
        assert_int_equal(send_words(f, "PING", NULL, NULL), 0);
        redis_server_kill(&f->server);
        TURN_UNTIL(f, f->downs == round);
        assert_int_equal(f->losses_at_down, 2);
        assert_int_equal(send_words(f, "PING", NULL, NULL), -1);
        redis_server_start(&f->server, NULL);
    }
    TURN_UNTIL(f, f->ups == 4);
    ask(f, "ECHO", "back");
    assert_string_equal(f->text, "back");
    assert_int_equal(f->downs, 3);
}

static void test_server_that_starts_later(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    redis_server_kill(&f->server);
    capture_begin(&f->capture, 2);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, capture_has(&f->capture, "Connection refused"));
    capture_end(&f->capture, f->logged, sizeof f->logged);
    assert_non_null(strstr(f->logged, "\"msg\":\"redis connection lost\""));
    redis_server_start(&f->server, NULL);
    TURN_UNTIL(f, f->ups == 1);
    assert_int_equal(f->downs, 0);
}

/* A stopped process keeps its sockets open: only the missing answers tell. */
static void test_silent_server_is_dropped(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    assert_int_equal(kill(f->server.pid, SIGSTOP), 0);
    assert_int_equal(send_words(f, "PING", NULL, NULL), 0);
    TURN_UNTIL(f, f->downs == 1);
    assert_int_equal(f->losses_at_down, 1);
    assert_int_equal(kill(f->server.pid, SIGCONT), 0);
    TURN_UNTIL(f, f->ups == 2);
}

/* A planned fail-over: who is connected stays so, and is answered, but cannot write any more. */
static void test_primary_that_becomes_a_replica(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    redis_server_do(&f->server, NULL, "REPLICAOF 127.0.0.1 1");
    TURN_UNTIL(f, f->downs == 1);
    redis_server_do(&f->server, NULL, "REPLICAOF NO ONE");
    TURN_UNTIL(f, f->ups == 2);
    assert_int_equal(f->downs, 1); /* the replica was not taken again */
}

/* By the last look at what was asked; a new one is sent when that has come. */
static bool refused_role(struct fixture *f)
{
    bool refused = strstr(f->text, "cmdstat_role:calls=0");
    if (!refused && *f->text) {
        *f->text = '\0';
        assert_int_equal(send_words(f, "INFO", "commandstats", NULL), 0);
    }
    return refused;
}

/* A user who may not ask is believed to have a primary. */
static void test_role_is_refused(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    redis_server_do(&f->server, NULL, "ACL SETUSER default -role");
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    ask(f, "INFO", "commandstats");
    TURN_UNTIL(f, refused_role(f));
    ask(f, "ECHO", "still here");
    assert_string_equal(f->text, "still here");
    assert_int_equal(f->downs, 0);
}

/* One of three Sentinels is cut off, and leads to the former primary, which thinks that it still is one. */
static void test_a_sentinel_that_is_behind(void **state)
{
    struct fixture *f = *state;
    struct redis_server former = {.port = 0};
    struct redis_sentinel sentinels[3] = {{.port = 0}};
    char url[128];
    redis_server_start(&former, NULL);
    redis_server_start(&f->server, NULL);
    redis_server_do(&f->server, NULL, "SET who primary");
    for (int i = 0; i < 3; i++)
        redis_sentinel_start(&sentinels[i], i == 0 ? former.port : f->server.port);
    for (int first = 0; first < 3; first++) {
        f->ups = 0;
        begin(f, redis_sentinel_url(sentinels, first, url));
        TURN_UNTIL(f, f->ups == (first == 0 ? 2 : 1));
        ask(f, "GET", "who");
        assert_string_equal(f->text, "primary");
        redis_async_free(f->ra);
        f->ra = NULL;
        redis_url_release(&f->url);
    }
    for (int i = 0; i < 3; i++)
        redis_sentinel_kill(&sentinels[i]);
    redis_server_release(&former);
}

static void test_password(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, "swordfish");
    begin(f, "redis://default:swordfish@127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
}

/* The operator's remedy, setting the right password on the server, needs no restart of ours. */
static void test_wrong_password(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, "swordfish");
    capture_begin(&f->capture, 2);
    begin(f, "redis://:sworDfish@127.0.0.1:PORT");
    TURN_UNTIL(f, capture_has(&f->capture, "WRONGPASS"));
    redis_server_do(&f->server, "swordfish", "CONFIG SET requirepass sworDfish");
    TURN_UNTIL(f, f->ups == 1);
    capture_end(&f->capture, f->logged, sizeof f->logged);
    assert_non_null(strstr(f->logged, "\"msg\":\"redis refused our hello\""));
    assert_null(strstr(f->logged, "sworDfish"));
    assert_int_equal(f->downs, 0);
}

static void test_risk_is_told_once(void **state)
{
    struct fixture *f = *state;
    char *first;
    redis_server_start(&f->server, NULL);
    capture_begin(&f->capture, 2);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    redis_server_do(&f->server, NULL, "CLIENT KILL TYPE normal SKIPME yes");
    TURN_UNTIL(f, f->ups == 2);
    capture_end(&f->capture, f->logged, sizeof f->logged);
    first = strstr(f->logged, "appendonly is off");
    assert_non_null(first);
    assert_null(strstr(first + 1, "appendonly is off"));
}

/* With memory full a program must still get in, or nobody could drain it. */
static void test_memory_full(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 1");
    redis_server_do(&f->server, NULL, "CLIENT KILL TYPE normal SKIPME yes");
    TURN_UNTIL(f, f->downs == 1);
    TURN_UNTIL(f, f->ups == 2);
}

/* Its keys would be sought where they are not: it never comes up, and the program is told, once for all. */
static void test_another_number_of_partitions(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    f->keys = (struct key_space){"rf", 16};
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    ask(f, "GET", "rf:{p0}:partitions");
    assert_string_equal(f->text, "16");
    f->keys.partitions = 4; /* as if the key had been changed while it was away */
    redis_server_do(&f->server, NULL, "CLIENT KILL TYPE normal SKIPME yes");
    capture_begin(&f->capture, 2);
    TURN_UNTIL(f, capture_has(&f->capture, "RINGFLEET_PARTITIONS is 4, but this fleet's Redis was set up with 16"));
    capture_end(&f->capture, f->logged, sizeof f->logged);
    assert_int_equal(f->misfits, 0);
    redis_async_free(f->ra);
    redis_url_release(&f->url);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->misfits > 0);
    assert_int_equal(f->ups, 1);
}

/* A new version that meets a full Redis cannot load its functions: it stays out, and says why. */
static void test_memory_full_before_the_functions_are_there(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 1");
    capture_begin(&f->capture, 2);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, capture_has(&f->capture, "Function not found"));
    assert_int_equal(f->ups, 0);
    redis_server_do(&f->server, NULL, "CONFIG SET maxmemory 0");
    TURN_UNTIL(f, f->ups == 1);
    capture_end(&f->capture, f->logged, sizeof f->logged);
}

static void test_free_tells_what_waits(void **state)
{
    struct fixture *f = *state;
    struct redis_async *ra;
    redis_server_start(&f->server, NULL);
    begin(f, "redis://127.0.0.1:PORT");
    TURN_UNTIL(f, f->ups == 1);
    assert_int_equal(send_words(f, "BLPOP", "nothing", "0"), 0);
    assert_int_equal(send_words(f, "PING", NULL, NULL), 0);
    ra = f->ra;
    redis_async_free(ra);
    f->ra = NULL;
    assert_int_equal(f->losses, 2);
    assert_int_equal(f->downs, 0);
    redis_async_free(NULL);
}

/* Freed at every stage of connecting: nothing leaks, nothing calls back afterwards. */
static void test_free_while_connecting(void **state)
{
    struct fixture *f = *state;
    redis_server_start(&f->server, NULL);
    for (int turns = 0; turns < 12; turns++) {
        begin(f, "redis://127.0.0.1:PORT");
        for (int i = 0; i < turns && !f->ups; i++)
            event_base_loop(f->base, EVLOOP_ONCE);
        redis_async_free(f->ra);
        f->ra = NULL;
        redis_url_release(&f->url);
        event_base_loop(f->base, EVLOOP_NONBLOCK);
        assert_int_equal(f->downs, 0);
        f->ups = 0;
    }
}

/* ---- a server from before functions, as far as hello gets ---- */

struct old_server {
    struct evconnlistener *listener;
    struct bufferevent *conns[16];
    int accepted;
};

static void on_old_read(struct bufferevent *bev, void *arg)
{
    static const char info[] = "# Server\r\nredis_version:6.2.14\r\n";
    char text[16384];
    size_t len = bufferevent_read(bev, text, sizeof text - 1);
    (void)arg;
    text[len] = '\0';
    if (strstr(text, "INFO"))
        evbuffer_add_printf(bufferevent_get_output(bev), "$%zu\r\n%s\r\n", sizeof info - 1, info);
    else
        evbuffer_add_printf(bufferevent_get_output(bev), "+OK\r\n");
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int len, void *arg)
{
    struct old_server *old = arg;
    struct bufferevent *bev = bufferevent_socket_new(evconnlistener_get_base(l), fd, BEV_OPT_CLOSE_ON_FREE);
    (void)a;
    (void)len;
    assert_in_range(old->accepted, 0, 15);
    old->conns[old->accepted++] = bev;
    bufferevent_setcb(bev, on_old_read, NULL, NULL, NULL);
    bufferevent_enable(bev, EV_READ | EV_WRITE);
}

static void test_server_too_old(void **state)
{
    struct fixture *f = *state;
    struct old_server old = {0};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t port = free_port();
    char url[64];
    in.sin_port = htons(port);
    old.listener = evconnlistener_new_bind(f->base, on_accept, &old, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE, -1,
                                           (struct sockaddr *)&in, sizeof in);
    assert_non_null(old.listener);
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", port);
    capture_begin(&f->capture, 2);
    begin(f, url);
    TURN_UNTIL(f, old.accepted == 3); /* it keeps trying: the server may be upgraded */
    capture_end(&f->capture, f->logged, sizeof f->logged);
    assert_non_null(strstr(f->logged, "Redis 6.2.14 is too old: 7.0 or newer is needed (functions)"));
    assert_int_equal(f->ups, 0);
    evconnlistener_free(old.listener);
    for (int i = 0; i < old.accepted; i++)
        bufferevent_free(old.conns[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_comes_up_and_says_hello, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unix_socket, setup, teardown),
        cmocka_unit_test_setup_teardown(test_host_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_functions_are_loaded, setup, teardown),
        cmocka_unit_test_setup_teardown(test_binary_arguments, setup, teardown),
        cmocka_unit_test_setup_teardown(test_killed_and_restarted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_that_starts_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_silent_server_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_primary_that_becomes_a_replica, setup, teardown),
        cmocka_unit_test_setup_teardown(test_role_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sentinel_that_is_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_wrong_password, setup, teardown),
        cmocka_unit_test_setup_teardown(test_risk_is_told_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_full, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_number_of_partitions, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory_full_before_the_functions_are_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_tells_what_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_free_while_connecting, setup, teardown),
        cmocka_unit_test_setup_teardown(test_server_too_old, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
