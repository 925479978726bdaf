/* What the files of one attempt share: attempt.c (it is made, and how it ends), attempt_look.c (whether one without an
 * answer has dialled), attempt_watch.c (how a call goes that nothing is heard of). */
#pragma once
#include "common/http/client.h"
#include "warmer/outbound/attempt.h"
#include "warmer/outbound/provider.h"
#include "warmer/outbound/queue.h"

enum {
    UNSURE_MS = 3000,       /* the first look comes after so long: the provider's list lags behind */
    LOOK_AFTER_MS = 300000, /* a call that nothing is heard of is asked after */
};

struct attempt {
    struct attempts *all;
    struct attempt *next, **link;
    struct warmer *w;
    char sid[CALL_SID_SIZE];
    json_t *job;
    const struct provider *provider;
    struct context context;
    struct http_request *http;
    struct provider_found found;
    size_t checking; /* of those found, the one whose alias is asked for */
    void (*on_found)(struct attempt *a, const char *id); /* NULL: none of them is this call */
    void (*on_unsure)(struct attempt *a, const char *why); /* the provider or Redis could not be asked */
};

/* The request is sent, or cannot be, and is released in both cases. */
bool attempt_send(struct attempt *a, struct provider_request *request, bool once, http_done_fn *fn);
/* Over: the attempt, and not what it was for. */
void attempt_finish(struct attempt *a);
/* It is recorded as failed. */
void attempt_fail(struct attempt *a, const char *reason);
/* It was dialled. */
void attempt_dialled(struct attempt *a, const char *provider_call_sid, const char *conversation_id);
/* Nobody was dialled: from the beginning again, later. counts: as one of its tries. */
void attempt_retry(struct attempt *a, int64_t delay_ms, bool counts, const char *why);
/* It may have been dialled: look, later. Its place stays taken. */
void attempt_look_later(struct attempt *a, int64_t delay_ms, int64_t looks, const char *why);
bool attempt_too_late(const struct attempt *a, int64_t delay_ms);

/* Looks for the call among those that the provider knows; ends with on_found or on_unsure. */
void attempt_seek(struct attempt *a);
/* What attempt_dial and attempt_look_after go on with. */
void attempt_look(struct attempt *a);
void attempt_watch(struct attempt *a);
