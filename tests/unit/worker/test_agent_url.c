#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>

#include "common/http/client.h"
#include "worker/ai/agent_url.h"

/* The module's clock (the linker wraps clock_mono_ms). */
static int64_t now_ms;
int64_t __wrap_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void)
{
    return now_ms;
}

/* The provider's side, on the same loop. */
static struct {
    struct evhttp *http;
    int status, asked;
    char agent[64];
} server;

static struct worker w;
static struct worker_config config;
static struct agent_urls *urls;
static char key[] = "sk", none[] = "", configured[] = "agent_1";

static void on_request(struct evhttp_request *request, void *arg)
{
    struct evbuffer *out = evbuffer_new();
    const char *id = strstr(evhttp_request_get_uri(request), "agent_id=");
    (void)arg;
    snprintf(server.agent, sizeof server.agent, "%s", id ? id + 9 : "");
    evbuffer_add_printf(out, "{\"signed_url\":\"ws://127.0.0.1:1/c?agent_id=%s&conversation_signature=%d\"}", server.agent,
                        ++server.asked);
    evhttp_send_reply(request, server.status, NULL, out);
    evbuffer_free(out);
    event_base_loopbreak(w.base);
}

static int set_up(void **state)
{
    struct evhttp_bound_socket *bound;
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    char url[64];
    (void)state;
    memset(&w, 0, sizeof w);
    memset(&server, 0, sizeof server);
    server.status = 200;
    now_ms = 1000000;
    config = (struct worker_config){.elevenlabs_api_key = key, .elevenlabs_agent_id = configured};
    w.config = &config;
    w.provider = provider_named("elevenlabs");
    w.base = event_base_new();
    server.http = evhttp_new(w.base);
    evhttp_set_gencb(server.http, on_request, NULL);
    bound = evhttp_bind_socket_with_handle(server.http, "127.0.0.1", 0);
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/c", ntohs(addr.sin_port));
    assert_true(ai_target_parse(&w.ai, url));
    w.http = http_client_new(w.base);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    agent_urls_free(urls);
    http_client_free(w.http);
    evhttp_free(server.http);
    event_base_free(w.base);
    return 0;
}

/* Until the metric says so, or nothing more happens. */
static void settle(uint64_t known)
{
    for (int i = 0; i < 200 && metric_get(&w.metrics.ai_address_known) != known; i++)
        event_base_loop(w.base, EVLOOP_ONCE);
    assert_int_equal(metric_get(&w.metrics.ai_address_known), known);
}

/* Until the agent's address, or a reason why there will be none. */
static struct agent_url_answer wait_for(const char *agent_id)
{
    struct agent_url_answer answer = agent_url_get(urls, agent_id);
    for (int i = 0; i < 200 && !answer.target && strstr(answer.why, "being asked for"); i++) {
        event_base_loop(w.base, EVLOOP_ONCE);
        answer = agent_url_get(urls, agent_id);
    }
    return answer;
}

static void test_fetched_ahead_and_renewed(void **state)
{
    const struct ai_target *target;
    (void)state;
    urls = agent_urls_new(&w);
    assert_int_equal(metric_get(&w.metrics.ai_address_known), 0);
    settle(1);
    assert_string_equal(server.agent, "agent_1");
    target = agent_url_get(urls, "").target;
    assert_string_equal(target->path, "/c?agent_id=agent_1&conversation_signature=1");
    assert_int_equal(server.asked, 1);
    now_ms += AGENT_URL_RENEW_MS - 1;
    assert_ptr_equal(agent_url_get(urls, "agent_1").target, target);
    now_ms += 2;
    while (server.asked < 2) /* the module looks every five seconds, by the loop's own clock */
        event_base_loop(w.base, EVLOOP_ONCE);
    for (int i = 0; i < 20 && !strstr(target->path, "=2"); i++)
        event_base_loop(w.base, EVLOOP_ONCE);
    assert_string_equal(agent_url_get(urls, "").target->path, "/c?agent_id=agent_1&conversation_signature=2");
}

static void test_an_old_address_is_not_used(void **state)
{
    struct agent_url_answer answer;
    (void)state;
    urls = agent_urls_new(&w);
    settle(1);
    now_ms += AGENT_URL_GOOD_MS;
    answer = agent_url_get(urls, "");
    assert_null(answer.target);
    assert_false(answer.permanent);
    assert_string_equal(wait_for("").target->path, "/c?agent_id=agent_1&conversation_signature=2");
}

static void test_refusals(void **state)
{
    struct agent_url_answer answer;
    (void)state;
    server.status = 500;
    urls = agent_urls_new(&w);
    answer = wait_for("");
    assert_null(answer.target);
    assert_false(answer.permanent);
    assert_string_equal(answer.why, "the provider cannot sign now");
    (void)agent_url_get(urls, "");
    assert_int_equal(server.asked, 1); /* not before its time */
    server.status = 401;
    now_ms += 1000;
    (void)agent_url_get(urls, "");
    while (server.asked < 2)
        event_base_loop(w.base, EVLOOP_ONCE);
    for (int i = 0; i < 20 && !agent_url_get(urls, "").permanent; i++)
        event_base_loop(w.base, EVLOOP_ONCE);
    answer = agent_url_get(urls, "");
    assert_true(answer.permanent);
    assert_string_equal(answer.why, "the key was refused");
    assert_int_equal(metric_get(&w.metrics.agent_urls_failed), 2);
    server.status = 200;
    now_ms += 61000;
    (void)agent_url_get(urls, "");
    while (server.asked < 3)
        event_base_loop(w.base, EVLOOP_ONCE);
    settle(1);
    assert_non_null(agent_url_get(urls, "").target);
}

static void test_agents_of_calls(void **state)
{
    char id[32];
    (void)state;
    config.elevenlabs_agent_id = none;
    urls = agent_urls_new(&w);
    assert_int_equal(metric_get(&w.metrics.ai_address_known), 1); /* each call brings its own */
    assert_true(agent_url_get(urls, "").permanent);
    assert_string_equal(wait_for("a b").target->path, "/c?agent_id=a%20b&conversation_signature=1");
    config.elevenlabs_api_key = none; /* the others are open to anybody: no request */
    for (int i = 1; i < AGENT_URLS_MAX; i++) {
        snprintf(id, sizeof id, "agent%d", i);
        assert_non_null(agent_url_get(urls, id).target);
    }
    assert_null(agent_url_get(urls, "one more").target); /* all have been dialled just now */
    now_ms += 60000;
    assert_non_null(agent_url_get(urls, "one more").target);
    assert_int_equal(server.asked, 1);
    memset(id, 'x', sizeof id - 1);
    assert_null(agent_url_get(urls, "0123456789012345678901234567890123456789012345678901234567890123456789"
                                    "0123456789012345678901234567890123456789012345678901234567890123456789").target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fetched_ahead_and_renewed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_an_old_address_is_not_used, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_agents_of_calls, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
