#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <event2/buffer.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/listener.h>

#include "common/http/client.h"
#include "tests/unit/common/tls_server.h"

/* A client and the server it asks, on one loop. */
static struct event_base *base;
static struct evhttp *server;
static struct http_client *client;
static char url[96];

static struct {
    int calls, status;
    char body[256], error[256];
    size_t len;
    int64_t retry_after_ms;
} answer;

static struct {
    enum evhttp_cmd_type command;
    char uri[128], key[64], authorization[64], body[600];
    size_t size;
    bool silent; /* the next request gets no answer */
    const char *retry_after; /* of the next answer; NULL: none */
    struct evhttp_request *unanswered;
} seen;

static void on_request(struct evhttp_request *request, void *arg)
{
    struct evbuffer *out = evbuffer_new(), *in = evhttp_request_get_input_buffer(request);
    const char *key = evhttp_find_header(evhttp_request_get_input_headers(request), "xi-api-key");
    const char *authorization = evhttp_find_header(evhttp_request_get_input_headers(request), "Authorization");
    size_t size = evbuffer_get_length(in) < sizeof seen.body - 1 ? evbuffer_get_length(in) : sizeof seen.body - 1;
    (void)arg;
    seen.command = evhttp_request_get_command(request);
    snprintf(seen.uri, sizeof seen.uri, "%s", evhttp_request_get_uri(request));
    seen.size = evbuffer_get_length(in);
    snprintf(seen.authorization, sizeof seen.authorization, "%s", authorization ? authorization : "");
    snprintf(seen.key, sizeof seen.key, "%s", key ? key : "");
    evbuffer_copyout(in, seen.body, size);
    seen.body[size] = '\0';
    if (seen.silent) {
        seen.unanswered = request;
    } else {
        evbuffer_add_printf(out, "{\"ok\":true}%*s", strcmp(seen.uri, "/long") == 0 ? 200 : 0, "");
        evhttp_add_header(evhttp_request_get_output_headers(request), "ETag", "\"e\"");
        if (seen.retry_after)
            evhttp_add_header(evhttp_request_get_output_headers(request), "Retry-After", seen.retry_after);
        evhttp_send_reply(request, strcmp(seen.uri, "/missing") == 0 ? 404 : 200, NULL, out);
    }
    evbuffer_free(out);
}

static int set_up(void **state)
{
    struct evhttp_bound_socket *bound;
    struct sockaddr_in addr;
    socklen_t len = sizeof addr;
    (void)state;
    memset(&answer, 0, sizeof answer);
    memset(&seen, 0, sizeof seen);
    base = event_base_new();
    server = evhttp_new(base);
    evhttp_set_gencb(server, on_request, NULL);
    bound = evhttp_bind_socket_with_handle(server, "127.0.0.1", 0);
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&addr, &len);
    snprintf(url, sizeof url, "http://127.0.0.1:%d", ntohs(addr.sin_port));
    client = http_client_new(base);
    return client ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    http_client_free(client);
    evhttp_free(server);
    event_base_free(base);
    return 0;
}

static void on_done(void *arg, int status, const char *body, size_t len, const char *error)
{
    struct http_request **request = arg;
    if (request)
        answer.retry_after_ms = http_retry_after_ms(*request);
    answer.calls++;
    answer.status = status;
    answer.len = len;
    snprintf(answer.body, sizeof answer.body, "%s", body);
    snprintf(answer.error, sizeof answer.error, "%s", error ? error : "");
    event_base_loopbreak(base);
}

static struct http_request *ask(const char *path, const char *body, size_t answer_max, int timeout_ms)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", url, path);
    return http_send(client, &(struct http_spec){.url = whole, .headers = {"xi-api-key: secret"}, .body = body,
                                                 .answer_max = answer_max, .timeout_ms = timeout_ms}, on_done, NULL);
}

static void test_get_and_post(void **state)
{
    (void)state;
    assert_non_null(ask("/a?b=c", NULL, 100, 5000));
    assert_int_equal(answer.calls, 0); /* never from inside */
    event_base_dispatch(base);
    assert_int_equal(answer.status, 200);
    assert_string_equal(answer.body, "{\"ok\":true}");
    assert_int_equal(answer.len, 11);
    assert_string_equal(answer.error, "");
    assert_int_equal(seen.command, EVHTTP_REQ_GET);
    assert_string_equal(seen.uri, "/a?b=c");
    assert_string_equal(seen.key, "secret");
    assert_non_null(ask("/missing", "{}", 100, 5000));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 404);
    assert_int_equal(seen.command, EVHTTP_REQ_POST);
    assert_string_equal(seen.body, "{}");
    assert_int_equal(answer.calls, 2);
}

static void test_failures(void **state)
{
    struct evhttp_connection *peer;
    (void)state;
    assert_non_null(ask("/long", NULL, 100, 5000)); /* longer than may be */
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    assert_string_not_equal(answer.error, "");
    seen.silent = true;
    assert_non_null(ask("/", NULL, 100, 50));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    assert_non_null(strstr(answer.error, "imed out"));
    peer = evhttp_request_get_connection(seen.unanswered);
    evhttp_connection_free(peer);
    snprintf(url, sizeof url, "http://127.0.0.1:1");
    assert_non_null(ask("/", NULL, 100, 5000));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    snprintf(url, sizeof url, "file:///etc/hostname#");
    assert_non_null(ask("", NULL, 100, 5000));
    event_base_dispatch(base);
    assert_int_equal(answer.calls, 4);
    assert_int_equal(answer.status, 0);
}

static struct http_request *ask_spec(struct http_spec *spec, const char *path)
{
    char whole[128];
    snprintf(whole, sizeof whole, "%s%s", url, path);
    spec->url = whole;
    spec->timeout_ms = 5000;
    return http_send(client, spec, on_done, NULL);
}

/* Of one request at a time: its own handle, while it calls back. */
static struct {
    struct http_request *request;
    bool sent;
} single;

static void on_single(void *arg, int status, const char *body, size_t len, const char *error)
{
    single.sent = http_was_sent(single.request);
    on_done(arg, status, body, len, error);
}

static bool single_was_sent(const char *to)
{
    const struct http_spec spec = {.url = to, .body = "a=b", .once = true, .answer_max = 100, .timeout_ms = 50};
    single.request = http_send(client, &spec, on_single, NULL);
    assert_non_null(single.request);
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    return single.sent;
}

static void test_what_may_have_arrived(void **state)
{
    (void)state;
    seen.silent = true;
    assert_true(single_was_sent(url)); /* it may have been acted upon */
    evhttp_connection_free(evhttp_request_get_connection(seen.unanswered));
    assert_false(single_was_sent("http://127.0.0.1:1"));
}

static void test_a_long_answer_may_be_cut(void **state)
{
    (void)state;
    assert_non_null(ask_spec(&(struct http_spec){.answer_max = 100, .cut = true}, "/long"));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 200);
    assert_int_equal(answer.len, 100);
    assert_memory_equal(answer.body, "{\"ok\":true}  ", 13);
    assert_string_equal(answer.error, http_cut);
    assert_non_null(ask_spec(&(struct http_spec){.answer_max = 211, .cut = true}, "/long"));
    event_base_dispatch(base);
    assert_int_equal(answer.len, 211); /* just fits */
    assert_string_equal(answer.error, "");
}

static void test_only_public_addresses(void **state)
{
    static const char *const urls[] = {"https://127.0.0.1:1/", "https://localhost:1/", "https://[::1]:1/",
                                       "https://2130706433:1/", "https://127.1:1/"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        snprintf(url, sizeof url, "%s", urls[i]);
        assert_non_null(ask_spec(&(struct http_spec){.public_only = true}, ""));
        event_base_dispatch(base);
        assert_int_equal(answer.status, 0);
        assert_string_equal(answer.error, http_not_public);
    }
    snprintf(url, sizeof url, "http://192.0.2.1:1/"); /* not even tried */
    assert_non_null(ask_spec(&(struct http_spec){.public_only = true}, ""));
    event_base_dispatch(base);
    assert_non_null(strstr(answer.error, "rotocol"));
}

/* No socket is made for a request over a connection that another one has opened. */
static void test_a_kept_connection_is_no_way_around(void **state)
{
    struct tls_server own;
    struct http_spec spec = {.answer_max = 100};
    (void)state;
    tls_server_start(&own);
    spec.trusted = own.trusted;
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", own.port);
    for (int i = 0; i < 2; i++) {
        assert_non_null(ask_spec(&spec, ""));
        event_base_dispatch(base);
        assert_string_equal(answer.error, "");
        assert_int_equal(answer.status, 200);
    }
    spec.public_only = true;
    assert_non_null(ask_spec(&spec, ""));
    event_base_dispatch(base);
    assert_string_equal(answer.error, http_not_public);
    assert_int_equal(answer.status, 0);
    http_client_free(client);
    client = NULL;
    tls_server_release(&own);
    assert_int_equal(own.answered, 2);
}

static void test_method_and_headers(void **state)
{
    (void)state;
    assert_non_null(ask_spec(&(struct http_spec){.method = "PUT", .body = "{}", .answer_max = 100}, "/"));
    event_base_dispatch(base);
    assert_int_equal(seen.command, EVHTTP_REQ_PUT);
    assert_string_equal(seen.body, "{}");
    assert_null(ask_spec(&(struct http_spec){.headers = {"A: b", "C: d\r\nHost: evil"}, .answer_max = 100}, "/"));
    assert_null(ask_spec(&(struct http_spec){.headers = {"A: \x7f"}, .answer_max = 100}, "/"));
}

/* Both ways in which it may be said, and what no server means. */
static void test_how_long_to_wait(void **state)
{
    char date[40];
    time_t soon = time(NULL) + 90;
    struct tm tm;
    const struct {
        const char *said;
        int64_t at_least, at_most;
    } rows[] = {
        {NULL, 0, 0},
        {"120", 120000, 120000},
        {date, 60000, 91000},
        {"Fri, 31 Dec 1999 23:59:59 GMT", 0, 0},
        {"-5", 0, 0},
        {"9223372036854775807", 0, 86400000},
        {"99999999999999999999", 0, 86400000},
        {"soon", 0, 0},
    };
    (void)state;
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&soon, &tm));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct http_request *request;
        seen.retry_after = rows[i].said;
        request = http_send(client, &(struct http_spec){.url = url, .answer_max = 100, .timeout_ms = 5000}, on_done, &request);
        assert_non_null(request);
        event_base_dispatch(base);
        assert_in_range(answer.retry_after_ms, rows[i].at_least, rows[i].at_most);
    }
}

static void test_cancelled_requests_say_nothing(void **state)
{
    struct http_request *request = ask("/a", NULL, 100, 5000);
    (void)state;
    http_cancel(request);
    http_cancel(NULL);
    assert_non_null(ask("/b", NULL, 100, 5000)); /* freed while under way, below */
    event_base_loop(base, EVLOOP_ONCE);
    assert_int_equal(answer.calls, 0);
}

static void test_the_number_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < HTTP_REQUESTS_MAX; i++)
        assert_non_null(ask("/", NULL, 100, 5000));
    assert_null(ask("/", NULL, 100, 5000));
    while (answer.calls < HTTP_REQUESTS_MAX)
        event_base_dispatch(base);
    assert_non_null(ask("/", NULL, 100, 5000));
}

/* -- bodies that are streamed, both ways ------------------------------------------------------------ */

static struct {
    struct http_request *request;
    char bytes[64], etag[32];
    size_t len;
    int status;
    bool refuses;
} sunk;

static bool on_sink(void *arg, const struct http_request *request, const char *bytes, size_t len)
{
    const char *etag = http_header(request, "etag");
    (void)arg;
    sunk.status = http_status(request);
    snprintf(sunk.etag, sizeof sunk.etag, "%s", etag ? etag : "");
    memcpy(sunk.bytes + sunk.len, bytes, len);
    sunk.len += len;
    return !sunk.refuses;
}

static void test_a_sink(void **state)
{
    struct http_spec spec = {.answer_max = 10, .cut = true, .sink = on_sink, .stall_seconds = 5};
    (void)state;
    memset(&sunk, 0, sizeof sunk);
    assert_non_null(ask_spec(&spec, "/"));
    event_base_dispatch(base);
    assert_int_equal(sunk.status, 200);
    assert_string_equal(sunk.etag, "\"e\"");
    assert_int_equal(sunk.len, 11);
    assert_memory_equal(sunk.bytes, "{\"ok\":true}", 11);
    assert_int_equal(answer.len, 0);
    assert_string_equal(answer.error, "");
    spec.answer_max = 100;
    assert_non_null(ask_spec(&spec, "/missing")); /* what is no success is no part of a file */
    event_base_dispatch(base);
    assert_int_equal(answer.status, 404);
    assert_int_equal(sunk.len, 11);
    assert_int_equal(answer.len, 11);
    sunk.refuses = true;
    assert_non_null(ask_spec(&spec, "/"));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    assert_string_not_equal(answer.error, "");
}

/* A body of 100,000 bytes that nobody holds: each tells where it is. */
static ptrdiff_t read_number(void *arg, int64_t offset, char *out, size_t size)
{
    const int64_t *breaks_at = arg;
    for (size_t i = 0; i < size; i++)
        out[i] = (char)('a' + (offset + (int64_t)i) % 23);
    return *breaks_at >= 0 && offset >= *breaks_at ? -1 : (ptrdiff_t)size;
}

static bool is_numbered(const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != (char)('a' + i % 23))
            return false;
    }
    return true;
}

static void test_a_source_is_put(void **state)
{
    int64_t breaks_at = -1;
    const struct http_source source = {read_number, &breaks_at, 100000};
    struct http_spec spec = {.answer_max = 100, .source = &source, .user = "me", .password = "secret"};
    (void)state;
    assert_non_null(ask_spec(&spec, "/"));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 200);
    assert_int_equal(seen.command, EVHTTP_REQ_PUT);
    assert_int_equal(seen.size, 100000);
    assert_true(is_numbered(seen.body, 60));
    assert_string_equal(seen.authorization, "Basic bWU6c2VjcmV0");
    breaks_at = 50000;
    assert_non_null(ask_spec(&spec, "/"));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 0);
    assert_string_not_equal(answer.error, "");
}

static void test_a_form(void **state)
{
    int64_t breaks_at = -1;
    const struct http_source source = {read_number, &breaks_at, 5};
    struct http_spec spec = {.answer_max = 100,
                             .headers = {"Expect:"},
                             .source = &source,
                             .parts = {{.name = "model", .text = "m"},
                                       {.name = "file", .filename = "a.wav", .type = "audio/wav"}}};
    (void)state;
    assert_non_null(ask_spec(&spec, "/"));
    event_base_dispatch(base);
    assert_int_equal(answer.status, 200);
    assert_int_equal(seen.command, EVHTTP_REQ_POST);
    assert_non_null(strstr(seen.body, "form-data; name=\"model\"\r\n\r\nm\r\n"));
    assert_non_null(strstr(seen.body, "name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\nabcde\r\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_get_and_post, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_sink, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_source_is_put, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_failures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_may_have_arrived, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_long_answer_may_be_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_public_addresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_kept_connection_is_no_way_around, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_method_and_headers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_how_long_to_wait, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cancelled_requests_say_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_number_is_bounded, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
