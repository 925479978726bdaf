#include "worker/ws/ws_handshake.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <openssl/evp.h>

#include "common/base/base64.h"

/* RFC 6455 section 1.3 */
#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

struct slice {
    const char *at;
    size_t len;
};

static struct slice trimmed(const char *at, size_t len)
{
    while (len > 0 && (*at == ' ' || *at == '\t'))
        at++, len--;
    while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
        len--;
    return (struct slice){at, len};
}

static bool equals(struct slice s, const char *text)
{
    return s.len == strlen(text) && strncasecmp(s.at, text, s.len) == 0;
}

/* Whether a comma list such as "keep-alive, Upgrade" has the word. */
static bool lists(struct slice s, const char *word)
{
    while (s.len > 0) {
        const char *comma = memchr(s.at, ',', s.len);
        size_t n = comma ? (size_t)(comma - s.at) : s.len;
        if (equals(trimmed(s.at, n), word))
            return true;
        s.at += n + (comma != NULL);
        s.len -= n + (comma != NULL);
    }
    return false;
}

static bool copy(char *out, size_t size, struct slice s)
{
    if (s.len >= size || memchr(s.at, '\0', s.len))
        return false;
    memcpy(out, s.at, s.len);
    out[s.len] = '\0';
    return true;
}

static void accept_value(char out[WS_ACCEPT_SIZE], const char *key)
{
    char text[WS_KEY_SIZE + sizeof WS_GUID];
    uint8_t digest[EVP_MAX_MD_SIZE];
    snprintf(text, sizeof text, "%s%s", key, WS_GUID);
    EVP_Digest(text, strlen(text), digest, NULL, EVP_sha1(), NULL);
    base64_encode(out, digest, 20);
}

/* Length of the head with its empty line; 0 if it is not all there. */
static size_t head_length(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    return end ? (size_t)(end - buf) + 4 : 0;
}

/* Takes the next "Name: value" line of the head. false: no more, or *bad. */
static bool next_header(const char **at, const char *end, struct slice *name, struct slice *value, bool *bad)
{
    const char *eol = memmem(*at, (size_t)(end - *at), "\r\n", 2), *colon;
    if (!eol || eol == *at)
        return false;
    colon = memchr(*at, ':', (size_t)(eol - *at));
    *bad = !colon || colon == *at;
    if (*bad)
        return false;
    *name = (struct slice){*at, (size_t)(colon - *at)};
    *value = trimmed(colon + 1, (size_t)(eol - colon - 1));
    *at = eol + 2;
    return true;
}

static bool parse_request_line(const char *line, size_t len, struct ws_request *request)
{
    const char *target = line + 4, *space;
    struct slice path;
    if (len < 14 || memcmp(line, "GET /", 5) != 0)
        return false;
    space = memchr(target, ' ', len - 4);
    if (!space || !equals((struct slice){space + 1, (size_t)(line + len - space - 1)}, "HTTP/1.1"))
        return false;
    path = (struct slice){target, (size_t)(space - target)};
    if (memchr(path.at, '?', path.len))
        path.len = (size_t)((const char *)memchr(path.at, '?', path.len) - path.at);
    return copy(request->path, sizeof request->path, path);
}

enum ws_http_result ws_request_parse(const char *buf, size_t len, size_t *taken, struct ws_request *request)
{
    size_t head = head_length(buf, len);
    const char *at, *end = buf + head;
    struct slice name, value;
    bool upgrade = false, connection = false, version = false, bad = false;
    if (head == 0)
        return len >= WS_HTTP_HEAD_MAX ? WS_HTTP_BAD : WS_HTTP_NEED_MORE;
    memset(request, 0, sizeof *request);
    at = (const char *)memmem(buf, head, "\r\n", 2) + 2;
    if (head > WS_HTTP_HEAD_MAX || !parse_request_line(buf, (size_t)(at - 2 - buf), request))
        return WS_HTTP_BAD;
    while (next_header(&at, end, &name, &value, &bad)) {
        if (equals(name, "Upgrade"))
            upgrade = upgrade || lists(value, "websocket");
        else if (equals(name, "Connection"))
            connection = connection || lists(value, "upgrade");
        else if (equals(name, "Sec-WebSocket-Version"))
            version = equals(value, "13");
        else if (equals(name, "Sec-WebSocket-Key") && !copy(request->key, sizeof request->key, value))
            return WS_HTTP_BAD;
    }
    request->upgrade = upgrade && connection && version && strlen(request->key) == WS_KEY_SIZE - 1;
    *taken = head;
    return bad ? WS_HTTP_BAD : WS_HTTP_DONE;
}

size_t ws_response_switch(char *out, size_t size, const char *key)
{
    char accept[WS_ACCEPT_SIZE];
    accept_value(accept, key);
    return (size_t)snprintf(out, size,
                            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                            "Sec-WebSocket-Accept: %s\r\n\r\n",
                            accept);
}

size_t ws_response_refuse(char *out, size_t size, int status, const char *reason)
{
    return (size_t)snprintf(out, size, "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Length: 0\r\n%s\r\n", status,
                            reason, status == 426 ? "Upgrade: websocket\r\n" : "");
}

size_t ws_request_write(char *out, size_t size, const char *host, const char *target, const char *key,
                        const char *headers)
{
    int n = snprintf(out, size,
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n",
                     target, host, key, headers);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

/* "HTTP/1.1 101". The buffer has no NUL that would stop sscanf. */
static bool take_status(const char *buf, size_t len, int *status)
{
    if (len < 12 || memcmp(buf, "HTTP/1.", 7) != 0 || (buf[7] != '0' && buf[7] != '1') || buf[8] != ' ')
        return false;
    *status = 0;
    for (int i = 9; i < 12; i++) {
        if (buf[i] < '0' || buf[i] > '9')
            return false;
        *status = *status * 10 + buf[i] - '0';
    }
    return true;
}

enum ws_http_result ws_response_parse(const char *buf, size_t len, const char *key, size_t *taken, int *status)
{
    size_t head = head_length(buf, len);
    const char *at, *end = buf + head;
    struct slice name, value;
    char wanted[WS_ACCEPT_SIZE];
    bool upgrade = false, accepted = false, bad = false;
    if (head == 0)
        return len >= WS_HTTP_HEAD_MAX ? WS_HTTP_BAD : WS_HTTP_NEED_MORE;
    if (head > WS_HTTP_HEAD_MAX || !take_status(buf, head, status))
        return WS_HTTP_BAD;
    accept_value(wanted, key);
    at = (const char *)memmem(buf, head, "\r\n", 2) + 2;
    while (next_header(&at, end, &name, &value, &bad)) {
        if (equals(name, "Upgrade"))
            upgrade = equals(value, "websocket");
        else if (equals(name, "Sec-WebSocket-Accept"))
            accepted = value.len == strlen(wanted) && memcmp(value.at, wanted, value.len) == 0;
    }
    *taken = head;
    if (bad)
        return WS_HTTP_BAD;
    return *status != 101 || (upgrade && accepted) ? WS_HTTP_DONE : WS_HTTP_BAD;
}
