/* The HTTP side: bounds, routes, and the gate that every webhook passes (signature, form). */
#pragma once
#include "warmer/form.h"
#include "warmer/twiml.h"
#include "warmer/warmer.h"

struct evhttp_request;
struct server;

/* A webhook that has passed the gate: the carrier has signed it. A handler owns it until it calls
 * one of the two answers, exactly once, now or later; that frees it. */
struct request {
    struct server *server;
    struct warmer *w;
    struct evhttp_request *_http;
    struct form form;
    const char *call_sid; /* a valid one, in the form */
    int n;                /* of /voice/after/{n} */
    int64_t began_us;     /* monotonic */
};

void request_answer(struct request *r, const struct twiml *document);
/* Without a body: 204, 400, 503. */
void request_answer_status(struct request *r, int code);

/* Listens at once. NULL, with a log line, when the address cannot be had. */
RF_NODISCARD struct server *server_new(struct warmer *w);

/* No new connections; requests under way are still answered, and their connections closed. */
void server_stop_accepting(struct server *server);

/* Requests that have not been answered. */
size_t server_requests(const struct server *server);

/* No request may be unanswered. Accepts NULL. */
void server_free(struct server *server);

/* The handlers, each in a file of its own. */
void incoming_handle(struct request *r);
void after_handle(struct request *r);
void status_handle(struct request *r);
