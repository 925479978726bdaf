/* What the loops of a process share: the settings and what was made of them at start. Read-only once
 * the first loop runs, except the places, which are counted atomically. */
#pragma once
#include <openssl/ssl.h>

#include "common/redis/keys.h"
#include "common/redis/url.h"
#include "worker/ai/ai.h"
#include "worker/config.h"
#include "worker/places.h"

struct spool;

struct shared {
    const struct worker_config *config;
    char id[128]; /* of the worker, in Redis and logs */
    struct key_space keys;
    struct redis_url redis_url;
    const struct provider *provider;
    struct ai_target ai;
    /* NULL when the AI leg is plain. One for all loops: OpenSSL counts its references atomically and
     * locks its caches, so that SSL_new from several threads is safe once nobody changes the settings
     * any more (OpenSSL 3, SSL_CTX_new: "Threads"). The certificates are read and kept once. */
    SSL_CTX *tls;
    X509_STORE *tool_trusted; /* certificates that vouch for the businesses' own tools; it locks itself */
    struct places places;
    struct spool *spool; /* NULL unless RINGFLEET_SPOOL_DIR is set; it locks itself */
};

/* -1, with a log line, when a setting cannot be used. Release in both cases; config is borrowed. */
RF_NODISCARD int shared_init(struct shared *s, const struct worker_config *config);
void shared_release(struct shared *s);
