#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "worker/ws/ws_handshake.h"

/* Key and accept value of RFC 6455, section 1.3. */
#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

/* As a carrier was seen to send it: lower-case header names, no Origin, no subprotocol. */
#define REQUEST                                                                                            \
    "GET /media HTTP/1.1\r\nHost: media.example.com\r\nUser-Agent: Twilio.TmeWs/1.0\r\n"                   \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n" \
    "x-twilio-signature: abc=\r\n\r\n"

static enum ws_http_result parse(const char *text, size_t len, size_t *taken, struct ws_request *request)
{
    char *copy = malloc(len ? len : 1);
    enum ws_http_result result;
    memcpy(copy, text, len);
    result = ws_request_parse(copy, len, taken, request);
    free(copy);
    return result;
}

/* Of bytes that nothing follows, as they may lie at the end of the worker's buffer. */
static enum ws_http_result parse_response(const char *text, size_t len, size_t *taken, int *status)
{
    char *copy = malloc(len ? len : 1);
    enum ws_http_result result;
    memcpy(copy, text, len);
    result = ws_response_parse(copy, len, KEY, taken, status);
    free(copy);
    return result;
}

static void test_request_every_cut(void **state)
{
    const char *wire = REQUEST "rest";
    size_t head = strlen(REQUEST), taken;
    struct ws_request r;
    (void)state;
    for (size_t cut = 0; cut < head; cut++)
        assert_int_equal(parse(wire, cut, &taken, &r), WS_HTTP_NEED_MORE);
    assert_int_equal(parse(wire, head + 4, &taken, &r), WS_HTTP_DONE);
    assert_int_equal(taken, head);
    assert_string_equal(r.path, "/media");
    assert_string_equal(r.key, KEY);
    assert_true(r.upgrade);
}

static void test_requests(void **state)
{
    static const struct {
        const char *text;
        enum ws_http_result result;
        bool upgrade;
    } rows[] = {
        {"GET /media?x=1 HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13"
         "\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", WS_HTTP_DONE, true},
        {"GET / HTTP/1.1\r\n\r\n", WS_HTTP_DONE, false},
        {"GET /media HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8"
         "\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", WS_HTTP_DONE, false},
        {"GET /media HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13"
         "\r\nSec-WebSocket-Key: short\r\n\r\n", WS_HTTP_DONE, false},
        {"POST /media HTTP/1.1\r\n\r\n", WS_HTTP_BAD, false},
        {"GET /media HTTP/1.0\r\n\r\n", WS_HTTP_BAD, false},
        {"GET media HTTP/1.1\r\n\r\n", WS_HTTP_BAD, false},
        {"GET /media\r\n\r\n", WS_HTTP_BAD, false},
        {"GET /media HTTP/1.1\r\nno colon here\r\n\r\n", WS_HTTP_BAD, false},
        {"GET /media HTTP/1.1\r\n: no name\r\n\r\n", WS_HTTP_BAD, false},
        {"\r\n\r\n", WS_HTTP_BAD, false},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ws_request r;
        size_t taken;
        assert_int_equal(parse(rows[i].text, strlen(rows[i].text), &taken, &r), rows[i].result);
        if (rows[i].result == WS_HTTP_DONE)
            assert_int_equal(r.upgrade, rows[i].upgrade);
    }
}

static void test_head_is_bounded(void **state)
{
    size_t len = WS_HTTP_HEAD_MAX, taken;
    char *text = malloc(len);
    struct ws_request r;
    (void)state;
    memset(text, 'a', len);
    assert_int_equal(parse(text, len - 1, &taken, &r), WS_HTTP_NEED_MORE);
    assert_int_equal(parse(text, len, &taken, &r), WS_HTTP_BAD);
    free(text);
}

static void test_answers(void **state)
{
    char out[256];
    size_t n = ws_response_switch(out, sizeof out, KEY);
    (void)state;
    assert_int_equal(n, strlen(out));
    assert_non_null(strstr(out, "Sec-WebSocket-Accept: " ACCEPT "\r\n"));
    assert_memory_equal(out, "HTTP/1.1 101 ", 13);
    assert_null(strstr(out, "Extensions")); /* the carrier offers none and must be given none */
    n = ws_response_refuse(out, sizeof out, 503, "Service Unavailable");
    assert_memory_equal(out, "HTTP/1.1 503 Service Unavailable\r\n", 34);
    assert_memory_equal(out + n - 4, "\r\n\r\n", 4);
}

static void test_client_side(void **state)
{
    char out[512];
    size_t taken, n = ws_request_write(out, sizeof out, "api.example.com", "/v1/realtime?model=m", KEY, "X-A: b\r\n");
    int status;
    static const char good[] = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
                               "sec-websocket-accept: " ACCEPT "\r\n\r\n";
    static const char forged[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                                 "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n";
    static const char refused[] = "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 0\r\n\r\n";
    static const char line[] = "GET /v1/realtime?model=m HTTP/1.1\r\nHost: api.example.com\r\n";
    (void)state;
    assert_memory_equal(out, line, sizeof line - 1);
    assert_memory_equal(out + n - 12, "\r\nX-A: b\r\n\r\n", 12);
    assert_int_equal(ws_request_write(out, 40, "api.example.com", "/", KEY, ""), 0);
    for (size_t cut = 0; cut < sizeof good - 1; cut++)
        assert_int_equal(parse_response(good, cut, &taken, &status), WS_HTTP_NEED_MORE);
    assert_int_equal(parse_response(good, sizeof good - 1, &taken, &status), WS_HTTP_DONE);
    assert_int_equal(status, 101);
    assert_int_equal(parse_response(forged, sizeof forged - 1, &taken, &status), WS_HTTP_BAD);
    assert_int_equal(parse_response(refused, sizeof refused - 1, &taken, &status), WS_HTTP_DONE);
    assert_int_equal(status, 429);
    assert_int_equal(parse_response("HTTP/1.1 10\r\n\r\n", 15, &taken, &status), WS_HTTP_BAD);
    assert_int_equal(parse_response("HTTP/1.1 \r\n\r\n", 13, &taken, &status), WS_HTTP_BAD);
    assert_int_equal(parse_response("garbage\r\n\r\n", 11, &taken, &status), WS_HTTP_BAD);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_every_cut), cmocka_unit_test(test_requests),
        cmocka_unit_test(test_head_is_bounded),   cmocka_unit_test(test_answers),
        cmocka_unit_test(test_client_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
