/* HTTPS requests on the loop, over libcurl: for what is asked beside the calls (a signed address, a tool of
 * a business's own) and after them (recordings, which are streamed). Nothing blocks: names are looked up in libcurl's
 * threads, which are never waited for. Requests, their time and their answers are bounded. Redirects are not followed
 * unless asked for, proxies not used, certificates always checked. One client per loop. */
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
    HTTP_PARTS_MAX = 6,     /* of a form */
    HTTP_REDIRECTS_MAX = 5,
};

/* Values of `error` that a caller may care to know, by address. */
extern const char http_timed_out[], http_not_public[], http_cut[];

/* Bytes that are read when the connection wants them, perhaps more than once. read writes at most size of those from
 * offset on and returns how many, or -1; size is that of all. arg must live as long as the request. */
struct http_source {
    ptrdiff_t (*read)(void *arg, int64_t offset, char *out, size_t size);
    void *arg;
    int64_t size;
};

/* One field of a form: a text, or (text NULL) the spec's source as a file. */
struct http_part {
    const char *name, *text, *filename, *type;
};

/* Takes the bytes of a 2xx answer as they come; http_status and http_header can be asked. false ends the request
 * with an error. */
typedef bool http_sink_fn(void *arg, const struct http_request *request, const char *bytes, size_t len);

/* All borrowed until http_send returns. */
struct http_spec {
    const char *url;                       /* http: or https: */
    const char *headers[HTTP_HEADERS_MAX]; /* "Name: value"; NULL ends them */
    const char *body;                      /* NULL: GET; otherwise POST */
    const char *method;                    /* NULL: as above */
    size_t answer_max;                     /* a longer answer is a failure, or is cut */
    bool cut;                              /* a longer answer ends there: status, body, and error http_cut */
    bool public_only;                      /* only https:, and only addresses of the public internet, looked at
                                              where the socket is made, and again before each request: whatever a
                                              name is resolved to, and whoever opened a connection that is kept */
    bool once;                             /* on a connection of its own: libcurl sends a request again if a kept one
                                              turns out to be dead, also one that must not arrive twice */
    int timeout_ms;                        /* for all of it, name look-up to last byte */
    int stall_seconds;                     /* more than 0: ends when for so long nothing came or went; 10 s to connect */
    bool follow;                           /* follows redirects; the user is named to the first host only */
    const char *user, *password;           /* NULL: none; basic authentication, unless aws_sigv4 */
    const char *aws_sigv4;                 /* "aws:amz:<region>:<service>": signs with user and password */
    http_sink_fn *sink;                    /* NULL: the answer is collected; its arg is that of fn. Other answers
                                              than 2xx are collected in any case */
    const struct http_source *source;      /* sent as PUT, or as the file among parts */
    struct http_part parts[HTTP_PARTS_MAX]; /* of a form, sent as POST; a name of NULL ends them */
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
/* While the answer comes and in the callback: its status, 0 before the first line; and a header, NULL if there is
 * none (borrowed for that long). */
int http_status(const struct http_request *request);
const char *http_header(const struct http_request *request, const char *name);

/* In the callback: for how long the server asks to be left alone (Retry-After: seconds, or a date), a day at most; 0
 * if it does not. */
int64_t http_retry_after_ms(const struct http_request *request);

/* No callback comes any more. For requests that have not called back yet; accepts NULL. */
void http_cancel(struct http_request *request);
