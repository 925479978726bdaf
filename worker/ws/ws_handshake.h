/* The HTTP/1.1 head that opens a WebSocket, both sides: bytes in, meaning out. */
#pragma once
#include "common/base/base.h"

enum { WS_HTTP_HEAD_MAX = 8192, WS_KEY_SIZE = 25, WS_ACCEPT_SIZE = 29 };

enum ws_http_result { WS_HTTP_NEED_MORE, WS_HTTP_DONE, WS_HTTP_BAD };

/* A carrier's request to open a stream. */
struct ws_request {
    char path[256];         /* without query */
    char key[WS_KEY_SIZE];  /* Sec-WebSocket-Key */
    bool upgrade;           /* it asks for a WebSocket, version 13, with a key */
};

/* WS_HTTP_DONE: *taken bytes were the head, the rest belongs to the stream. WS_HTTP_BAD: not
 * HTTP, or a head past WS_HTTP_HEAD_MAX. */
enum ws_http_result ws_request_parse(const char *buf, size_t len, size_t *taken, struct ws_request *request);

/* The answers a server gives; each writes a whole head and returns its length. */
size_t ws_response_switch(char *out, size_t size, const char *key);
size_t ws_response_refuse(char *out, size_t size, int status, const char *reason);

/* Client side: the request with extra header lines (each ended by CRLF; may be ""). */
size_t ws_request_write(char *out, size_t size, const char *host, const char *target, const char *key,
                        const char *headers);

/* WS_HTTP_DONE with *status 101: the server accepted our key; any other status is its refusal.
 * WS_HTTP_BAD: not HTTP, or 101 without the right accept value. */
enum ws_http_result ws_response_parse(const char *buf, size_t len, const char *key, size_t *taken, int *status);
