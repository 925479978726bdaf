/* Where the sessions of a provider's agents are opened. An agent that is not open to everybody has a
 * signed address, good for 15 minutes and any number of sessions (ElevenLabs, "get-signed-url"): it
 * is fetched ahead and renewed in time, so that no call waits for it. */
#pragma once
#include "worker/worker.h"

struct agent_urls;

enum {
    AGENT_URLS_MAX = 64,            /* agents with calls lately; past it the longest unused goes */
    AGENT_URL_GOOD_MS = 840000,     /* a session may be opened with it for 14 minutes */
    AGENT_URL_RENEW_MS = 540000,    /* renewed after 9 */
    AGENT_URL_UNUSED_MS = 3600000,  /* not renewed for an agent that had no call for so long */
};

/* The configured agent's address is asked for at once; the metric ai_address_known tells whether it is
 * there. w->ai is the provider's address. */
RF_NODISCARD struct agent_urls *agent_urls_new(struct worker *w);
void agent_urls_free(struct agent_urls *urls); /* accepts NULL */

struct agent_url_answer {
    const struct ai_target *target; /* NULL: there is none, or not yet: ask again soon */
    const char *why;                /* then: what is missing */
    bool permanent;                 /* then: asking again will not help */
};

/* agent_id "": the configured agent. The target stays valid while it is dialled (WS_HANDSHAKE_SECONDS). */
struct agent_url_answer agent_url_get(struct agent_urls *urls, const char *agent_id);
