#include "worker/http_client.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <event2/event.h>

enum { ANSWER_FIRST = 1024 };

struct http_request {
    struct http_client *client;
    struct http_request *next, **link;
    CURL *easy;
    struct curl_slist *headers;
    char *answer;
    size_t len, room, max;
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
    curl_slist_free_all(r->headers);
    free(r->answer);
    free(r);
}

static void finish(struct http_request *r, CURLcode code)
{
    long status = 0;
    const char *error = NULL;
    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK) {
        error = *r->error ? r->error : curl_easy_strerror(code);
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
    size_t more = size * count, room = r->room ? r->room : ANSWER_FIRST;
    char *larger;
    if (r->len + more > r->max)
        return 0; /* curl takes anything but `more` as a failure of ours */
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
    return more;
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

static bool add_headers(struct http_request *r, const struct http_spec *spec)
{
    for (int i = 0; i < HTTP_HEADERS_MAX && spec->headers[i]; i++) {
        struct curl_slist *longer = curl_slist_append(r->headers, spec->headers[i]);
        if (!longer)
            return false;
        r->headers = longer;
    }
    return true;
}

static bool prepare(struct http_request *r, const struct http_spec *spec)
{
    r->easy = curl_easy_init();
    if (!r->easy || !add_headers(r, spec))
        return false;
    curl_easy_setopt(r->easy, CURLOPT_PRIVATE, r);
    curl_easy_setopt(r->easy, CURLOPT_ERRORBUFFER, r->error);
    curl_easy_setopt(r->easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(r->easy, CURLOPT_TIMEOUT_MS, (long)spec->timeout_ms);
    curl_easy_setopt(r->easy, CURLOPT_HTTPHEADER, r->headers);
    curl_easy_setopt(r->easy, CURLOPT_WRITEFUNCTION, on_answer);
    curl_easy_setopt(r->easy, CURLOPT_WRITEDATA, r);
    if (spec->ca_file && *spec->ca_file)
        curl_easy_setopt(r->easy, CURLOPT_CAINFO, spec->ca_file);
    if (spec->body)
        curl_easy_setopt(r->easy, CURLOPT_COPYPOSTFIELDS, spec->body);
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

void http_cancel(struct http_request *request)
{
    if (request)
        release(request);
}
