/* Short HTTPS requests on the loop, over libcurl: for what is asked beside the calls (a signed
 * address, a tool of a business's own). Nothing blocks: names are looked up in libcurl's threads, which
 * are never waited for. Requests, their time and their answers are bounded. Redirects are not followed,
 * proxies not used, certificates always checked. One client per loop. */
#pragma once
#include "common/base/base.h"

struct event_base;
struct http_client;
struct http_request;
struct x509_store_st;

enum {
    HTTP_REQUESTS_MAX = 64, /* under way at once, per client */
    HTTP_HEADERS_MAX = 20,
    HTTP_KEPT_MAX = 16,     /* idle connections kept for the next request */
};

/* Values of `error` that a caller may care to know, by address. */
extern const char http_timed_out[], http_not_public[], http_cut[];

/* All borrowed until http_send returns. */
struct http_spec {
    const char *url;                       /* http: or https: */
    const char *headers[HTTP_HEADERS_MAX]; /* "Name: value"; NULL ends them */
    const char *body;                      /* NULL: GET; otherwise POST */
    const char *method;                    /* NULL: as above */
    size_t answer_max;                     /* a longer answer is a failure, or is cut */
    bool cut;                              /* a longer answer ends there: status, body, and error http_cut */
    bool public_only;                      /* only https:, and only addresses of the public internet, looked at
                                              where the socket is made: whatever a name is resolved to */
    bool once;                             /* on a connection of its own: libcurl sends a request again if a kept one
                                              turns out to be dead, also one that must not arrive twice */
    int timeout_ms;                        /* for all of it, name look-up to last byte */
    const char *ca_file;                   /* NULL or "": the system's certificates */
    struct x509_store_st *trusted;         /* in place of ca_file, which is read on the loop (20 ms for the
                                              system's); must outlive the client */
};

/* status is 0 and error a text if there was no answer. body ends with a NUL that len does not
 * count; valid during the callback. */
typedef void http_done_fn(void *arg, int status, const char *body, size_t len, const char *error);

RF_NODISCARD struct http_client *http_client_new(struct event_base *base);

/* Cancels what is under way. Accepts NULL. */
void http_client_free(struct http_client *client);

/* fn is called exactly once, from the loop and never from inside here, unless cancelled. NULL: too
 * many are under way, the URL or a header is malformed, or out of memory. */
RF_NODISCARD struct http_request *http_send(struct http_client *client, const struct http_spec *spec, http_done_fn *fn,
                                            void *arg);

/* During its callback: whether any of the request may have reached the server. */
bool http_was_sent(const struct http_request *request);

/* No callback comes any more. For requests that have not called back yet; accepts NULL. */
void http_cancel(struct http_request *request);
