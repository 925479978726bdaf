/* The HTTP side: bounds, routes, answers. */
#pragma once
#include "common/redis/journal.h"
#include "warmer/form.h"
#include "warmer/twiml.h"
#include "warmer/warmer.h"

struct evhttp_request;
struct server;

/* A request that has passed its gate (gate.h): the carrier has signed it, or it brought the API key. A
 * handler owns it until it calls one of the answers, exactly once, now or later; that frees it. */
struct request {
    struct server *server;
    struct warmer *w;
    struct evhttp_request *_http;
    struct form form;
    const char *call_sid; /* a valid one, in the form or below; "" behind a key */
    char own_sid[CALL_SID_SIZE]; /* of a call that we dialled: then call_sid is this one, and not the carrier's */
    int n;                /* of /voice/after/{n}; of the stream that broke, for a call that is rescued; -1: before the
                             first stream of a call that we dialled */
    int vain;             /* of /voice/after/{n}/{vain}: how often Redis could not be asked */
    int64_t began_us;     /* monotonic */
    enum journal_type event; /* of a callback that is being recorded */
};

/* The value of a header of the request, or "". */
const char *request_header(const struct request *r, const char *name);

void request_answer(struct request *r, const struct twiml *document);
void request_answer_json(struct request *r, int code, const char *text);
/* Without a body: 204, 400, 503. */
void request_answer_status(struct request *r, int code);
/* 400, counted and logged; or 503, if it is for want of memory (wrong.h). */
void request_refuse(struct request *r, const char *wrong);

/* The raw body; borrowed. NULL when out of memory. */
const char *request_body(struct request *r, size_t *len);

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
void fallback_handle(struct request *r);
void status_handle(struct request *r);
void stream_handle(struct request *r);
void recording_handle(struct request *r);
void prompts_handle(struct request *r);
void calls_handle(struct request *r);
void call_state_handle(struct request *r);
