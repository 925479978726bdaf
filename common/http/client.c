#include "common/http/client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <event2/event.h>
#include <openssl/ssl.h>

#include "common/http/address.h"
#include "common/http/body.h"

enum { ANSWER_FIRST = 1024, CONNECT_MS = 10000, RETRY_AFTER_MAX_SECONDS = 86400 };

const char http_timed_out[] = "timed out";
const char http_not_public[] = "the address is not of the public internet";
const char http_cut[] = "the answer is longer than what is read of it";

struct http_request {
    struct http_client *client;
    struct http_request *next, **link;
    CURL *easy;
    struct curl_slist *headers;
    char *answer;
    size_t len, room, max;
    bool may_cut, cut, refused, sent;
    X509_STORE *trusted;
    http_sink_fn *sink;
    struct http_body body;
    char error[CURL_ERROR_SIZE];
    http_done_fn *fn;
    void *arg;
};

struct http_client {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    struct http_request *requests;
    int count;
};

static void release(struct http_request *r)
{
    *r->link = r->next;
    if (r->next)
        r->next->link = r->link;
    r->client->count--;
    if (r->easy) {
        curl_multi_remove_handle(r->client->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    http_body_release(&r->body);
    curl_slist_free_all(r->headers);
    free(r->answer);
    free(r);
}

static void finish(struct http_request *r, CURLcode code)
{
    long status = 0, request_bytes = 0;
    const char *error = NULL;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &request_bytes);
    r->sent = request_bytes > 0;
    if (r->cut) {
        error = http_cut;
    } else if (code != CURLE_OK) {
        error = *r->error ? r->error : curl_easy_strerror(code);
        if (r->refused)
            error = http_not_public;
        else if (code == CURLE_OPERATION_TIMEDOUT)
            error = http_timed_out;
        status = 0;
    }
    r->fn(r->arg, (int)status, r->answer ? r->answer : "", r->len, error);
    release(r);
}

static void take_finished(struct http_client *client)
{
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(client->multi, &left)) != NULL) {
        char *request = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &request);
        finish((struct http_request *)(void *)request, message->data.result);
    }
}

static void act(struct http_client *client, curl_socket_t fd, int what)
{
    int running;
    curl_multi_socket_action(client->multi, fd, what, &running);
    take_finished(client);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    act(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
    struct http_client *client = arg;
    struct timeval tv = {ms / 1000, (ms % 1000) * 1000};
    (void)multi;
    event_del(client->timer);
    if (ms >= 0)
        event_add(client->timer, &tv);
    return 0;
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    act(arg, fd, (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

/* curl says which way it waits on a socket; its event is kept as curl's own note on that socket. */
static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *note)
{
    struct http_client *client = arg;
    struct event *event = note;
    short wanted = (short)((what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0) | EV_PERSIST);
    (void)easy;
    if (event)
        event_free(event);
    event = what == CURL_POLL_REMOVE ? NULL : event_new(client->base, fd, wanted, on_socket, client);
    if (event)
        event_add(event, NULL);
    curl_multi_assign(client->multi, fd, event);
    return 0;
}

static size_t on_answer(char *bytes, size_t size, size_t count, void *arg)
{
    struct http_request *r = arg;
    size_t all = size * count, more = all, room = r->room ? r->room : ANSWER_FIRST;
    char *larger;
    if (r->sink && http_status(r) / 100 == 2)
        return r->sink(r->arg, r, bytes, all) ? all : 0;
    if (r->len + more > r->max) {
        if (!r->may_cut)
            return 0; /* curl takes anything but `all` as a failure of ours, and ends the request */
        r->cut = true;
        more = r->max - r->len;
    }
    while (room < r->len + more + 1)
        room *= 2;
    if (room != r->room) {
        larger = realloc(r->answer, room);
        if (!larger)
            return 0;
        r->answer = larger;
        r->room = room;
    }
    memcpy(r->answer + r->len, bytes, more);
    r->len += more;
    r->answer[r->len] = '\0';
    return more; /* less than all, if it is cut: that ends the request */
}

static curl_socket_t open_public(void *arg, curlsocktype purpose, struct curl_sockaddr *to)
{
    struct http_request *r = arg;
    (void)purpose;
    r->refused = !address_public(&to->addr);
    return r->refused ? CURL_SOCKET_BAD : socket(to->family, to->socktype | SOCK_CLOEXEC, to->protocol);
}

/* Before each request, also on a connection that was kept, and was perhaps opened for one that may go anywhere. */
static int ask_public(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct http_request *r = arg;
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
    (void)from;
    (void)to_port;
    (void)from_port;
    if (inet_pton(AF_INET, to, &in.sin_addr) == 1)
        r->refused = !address_public((const struct sockaddr *)&in);
    else
        r->refused = inet_pton(AF_INET6, to, &in6.sin6_addr) != 1 || !address_public((const struct sockaddr *)&in6);
    return r->refused ? CURL_PREREQFUNC_ABORT : CURL_PREREQFUNC_OK;
}

static CURLcode use_trusted(CURL *easy, void *ctx, void *arg)
{
    struct http_request *r = arg;
    (void)easy;
    return SSL_CTX_set1_verify_cert_store(ctx, r->trusted) == 1 ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

struct http_client *http_client_new(struct event_base *base)
{
    struct http_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->base = base;
    client->multi = curl_multi_init();
    client->timer = evtimer_new(base, on_timer, client);
    if (!client->multi || !client->timer) {
        http_client_free(client);
        return NULL;
    }
    curl_multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
    curl_multi_setopt(client->multi, CURLMOPT_SOCKETDATA, client);
    curl_multi_setopt(client->multi, CURLMOPT_MAXCONNECTS, (long)HTTP_KEPT_MAX);
    return client;
}

void http_client_free(struct http_client *client)
{
    if (!client)
        return;
    while (client->requests)
        release(client->requests);
    if (client->multi)
        curl_multi_cleanup(client->multi);
    if (client->timer)
        event_free(client->timer);
    free(client);
}

/* A value with a line break would become another header. */
static bool header_good(const char *line)
{
    for (; *line; line++) {
        if ((unsigned char)*line < ' ' || *line == 0x7F)
            return false;
    }
    return true;
}

static bool add_headers(struct http_request *r, const struct http_spec *spec)
{
    for (int i = 0; i < HTTP_HEADERS_MAX && spec->headers[i]; i++) {
        struct curl_slist *longer = header_good(spec->headers[i]) ? curl_slist_append(r->headers, spec->headers[i]) : NULL;
        if (!longer)
            return false;
        r->headers = longer;
    }
    return true;
}

static void set_trust(struct http_request *r, const struct http_spec *spec)
{
    r->trusted = spec->trusted;
    curl_easy_setopt(r->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (spec->trusted) {
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, NULL);
        curl_easy_setopt(r->easy, CURLOPT_CAPATH, NULL);
        curl_easy_setopt(r->easy, CURLOPT_SSL_CTX_FUNCTION, use_trusted);
        curl_easy_setopt(r->easy, CURLOPT_SSL_CTX_DATA, r);
    } else if (spec->ca_file && *spec->ca_file) {
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, spec->ca_file);
    }
}

static void set_user(struct http_request *r, const struct http_spec *spec)
{
    if (spec->user) {
        curl_easy_setopt(r->easy, CURLOPT_USERNAME, spec->user);
        curl_easy_setopt(r->easy, CURLOPT_PASSWORD, spec->password ? spec->password : "");
    }
    if (spec->aws_sigv4)
        curl_easy_setopt(r->easy, CURLOPT_AWS_SIGV4, spec->aws_sigv4);
    if (spec->follow) {
        curl_easy_setopt(r->easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(r->easy, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
    }
}

static void set_limits(struct http_request *r, const struct http_spec *spec)
{
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, (long)spec->timeout_ms);
    if (spec->stall_seconds > 0) {
        curl_easy_setopt(r->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
        curl_easy_setopt(r->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(r->easy, CURLOPT_LOW_SPEED_TIME, (long)spec->stall_seconds);
    }
}

static bool prepare(struct http_request *r, const struct http_spec *spec)
{
    r->easy = curl_easy_init();
    if (!r->easy || !add_headers(r, spec))
        return false;
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_QUICK_EXIT, 1L); /* or cancelling would wait for a look-up's thread */
    curl_easy_setopt(r->easy, CURLOPT_PROXY, "");
    curl_easy_setopt(r->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(r->easy, CURLOPT_USERAGENT, "ringfleet/" RINGFLEET_VERSION);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, spec->public_only ? "https" : "http,https");
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    set_trust(r, spec);
    set_user(r, spec);
    set_limits(r, spec);
    if (spec->public_only) {
        curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETFUNCTION, open_public);
        curl_easy_setopt(r->easy, CURLOPT_OPENSOCKETDATA, r);
        curl_easy_setopt(r->easy, CURLOPT_PREREQFUNCTION, ask_public);
        curl_easy_setopt(r->easy, CURLOPT_PREREQDATA, r);
    }
    if (spec->once) {
        curl_easy_setopt(r->easy, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(r->easy, CURLOPT_FORBID_REUSE, 1L);
    }
    if (spec->method)
        curl_easy_setopt(r->easy, CURLOPT_CUSTOMREQUEST, spec->method);
    if (spec->body)
        curl_easy_setopt(r->easy, CURLOPT_COPYPOSTFIELDS, spec->body);
    if (!http_body_set(&r->body, r->easy, spec))
        return false;
    return curl_easy_setopt(r->easy, CURLOPT_URL, spec->url) == CURLE_OK &&
           curl_multi_add_handle(r->client->multi, r->easy) == CURLM_OK;
}

struct http_request *http_send(struct http_client *client, const struct http_spec *spec, http_done_fn *fn, void *arg)
{
    struct http_request *r = client->count < HTTP_REQUESTS_MAX ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return NULL;
    r->client = client;
    r->max = spec->answer_max;
    r->may_cut = spec->cut;
    r->sink = spec->sink;
    r->fn = fn;
    r->arg = arg;
    r->next = client->requests;
    if (r->next)
        r->next->link = &r->next;
    r->link = &client->requests;
    client->requests = r;
    client->count++;
    if (prepare(r, spec))
        return r;
    release(r);
    return NULL;
}

bool http_was_sent(const struct http_request *request)
{
    return request->sent;
}

int http_status(const struct http_request *request)
{
    long status = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    return (int)status;
}

const char *http_header(const struct http_request *request, const char *name)
{
    struct curl_header *header;
    return curl_easy_header(request->easy, name, 0, CURLH_HEADER, -1, &header) == CURLHE_OK ? header->value : NULL;
}

int64_t http_retry_after_ms(const struct http_request *request)
{
    curl_off_t seconds = 0;
    curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &seconds);
    if (seconds < 0)
        return 0;
    return (int64_t)(seconds < RETRY_AFTER_MAX_SECONDS ? seconds : RETRY_AFTER_MAX_SECONDS) * 1000;
}

void http_cancel(struct http_request *request)
{
    if (request)
        release(request);
}
