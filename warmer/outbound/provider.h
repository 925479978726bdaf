/* Who dials for us: what is sent and what the answers mean. Pure: no socket, no clock. */
#pragma once
#include <jansson.h>

#include "common/redis/keys.h"
#include "warmer/config.h"
#include "warmer/context.h"

enum { PROVIDER_URL_MAX = 1024, PROVIDER_REASON_MAX = 256, PROVIDER_FOUND_MAX = 20 };

struct provider_request {
    char url[PROVIDER_URL_MAX];
    char headers[2][512]; /* "Name: value"; "" ends them */
    char *body;           /* owned; NULL: GET */
};

enum provider_verdict {
    PROVIDER_DIALLED,
    PROVIDER_REFUSED, /* for good */
    PROVIDER_BUSY,    /* not taken, may be sent again */
    PROVIDER_UNSURE,  /* it may have been taken */
};

/* What an answer says. Texts are "" where it does not say. */
struct provider_answer {
    enum provider_verdict verdict;
    char call_sid[CALL_SID_SIZE]; /* the provider's */
    char conversation_id[CALL_SID_SIZE];
    char reason[PROVIDER_REASON_MAX];
};

/* Calls that the provider knows and that may be the one that is looked for. */
struct provider_found {
    size_t count;
    char ids[PROVIDER_FOUND_MAX][CALL_SID_SIZE]; /* as in call_sid, or conversation_id, of provider_answer */
};

struct provider_state {
    char status[32]; /* the carrier's word for it */
    char duration[16];
};

struct provider {
    const char *name; /* as carrier of a job */
    bool ids_are_conversations; /* what a look finds */
    bool carries_media;         /* no stream comes to our workers */

    /* Whether the settings are there that it needs. */
    bool (*configured)(const struct warmer_config *config);

    /* NULL, or what a job lacks for it. May be NULL: nothing. */
    const char *(*missing)(const json_t *job);

    /* Of dial, look and ask the request is to be released in any case. */

    /* false: what is missing, in why; or out of memory. */
    bool (*dial)(struct provider_request *out, const struct warmer_config *config, const char *call_sid, const json_t *job,
                 const struct context *context, const char **why);
    /* status is HTTP's. */
    void (*dialled)(struct provider_answer *out, int status, const char *body);

    /* Whether the call begins before it is known who has picked up. May be NULL: no. */
    bool (*judges_late)(const struct warmer_config *config, const json_t *job);

    /* Calls to this callee since then. false: it does not fit; or out of memory. */
    bool (*look)(struct provider_request *out, const struct warmer_config *config, const char *call_sid, const json_t *job);
    /* false: the answer is none. since_ms: earlier ones are not meant. */
    bool (*found)(struct provider_found *out, int status, const char *body, int64_t since_ms);

    /* How it goes with a call that was dialled. The same. */
    bool (*ask)(struct provider_request *out, const struct warmer_config *config, const json_t *job);
    /* false: the answer is none. */
    bool (*state)(struct provider_state *out, int status, const char *body);
};

/* NULL: there is none of this name. */
const struct provider *provider_named(const char *name);

/* Whether there is one that is set up. */
bool provider_any(const struct warmer_config *config);

void provider_request_release(struct provider_request *request);
