#include "worker/shared.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/base/log.h"
#include "worker/spool/spool.h"

static void name_worker(struct shared *s)
{
    char host[96] = "worker";
    if (*s->config->worker_id) {
        snprintf(s->id, sizeof s->id, "%s", s->config->worker_id);
    } else {
        gethostname(host, sizeof host - 1);
        snprintf(s->id, sizeof s->id, "%s-%d", host, (int)getpid());
    }
}

static bool take_ai_target(struct shared *s)
{
    const struct provider *provider = s->provider = provider_named(s->config->ai_provider);
    const char *url = *s->config->ai_url ? s->config->ai_url : provider->default_url;
    const char *lacks = provider->lacks(s->config);
    if (lacks) {
        log_error(NULL, lacks);
        return false;
    }
    if (!ai_target_parse(&s->ai, url)) {
        log_error(NULL, "RINGFLEET_AI_URL is no address", log_str("value", url));
        return false;
    }
    if (provider->target)
        provider->target(s->config, &s->ai);
    return true;
}

static bool prepare_tls(struct shared *s)
{
    const char *file = s->config->ai_ca_file;
    static const unsigned char http11[] = "\x08http/1.1";
    if (!s->ai.tls)
        return true;
    s->tls = SSL_CTX_new(TLS_client_method());
    if (!s->tls)
        return false;
    SSL_CTX_set_min_proto_version(s->tls, TLS1_2_VERSION);
    SSL_CTX_set_verify(s->tls, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_read_ahead(s->tls, 1); /* a record in one read, not its head and then its body */
    SSL_CTX_set_alpn_protos(s->tls, http11, sizeof http11 - 1);
    if ((*file ? SSL_CTX_load_verify_locations(s->tls, file, NULL) : SSL_CTX_set_default_verify_paths(s->tls)) == 1)
        return true;
    log_error(NULL, "cannot read the certificates", log_str("RINGFLEET_AI_CA_FILE", file));
    return false;
}

static bool prepare_tool_trust(struct shared *s)
{
    const char *file = s->config->tool_ca_file;
    s->tool_trusted = X509_STORE_new();
    if (s->tool_trusted &&
        (*file ? X509_STORE_load_file(s->tool_trusted, file) : X509_STORE_set_default_paths(s->tool_trusted)) == 1)
        return true;
    log_error(NULL, "cannot read the certificates", log_str("RINGFLEET_TOOL_CA_FILE", file));
    return false;
}

static bool take_redis_url(struct shared *s)
{
    char error[160];
    if (redis_url_parse(s->config->redis_url, &s->redis_url, error, sizeof error) == 0)
        return true;
    log_error(NULL, error);
    return false;
}

static bool open_spool(struct shared *s)
{
    if (!*s->config->spool_dir)
        return true;
    s->spool = spool_new(&(struct spool_spec){.dir = s->config->spool_dir,
                                              .max_bytes = (uint64_t)s->config->spool_max_bytes,
                                              .url = &s->redis_url, .keys = &s->keys, .worker = s->id});
    if (!s->spool)
        log_error(NULL, "no memory or thread for the spool");
    return s->spool != NULL;
}

int shared_init(struct shared *s, const struct worker_config *config)
{
    memset(s, 0, sizeof *s);
    s->config = config;
    s->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    s->places.max = (int)config->max_calls;
    name_worker(s);
    return take_ai_target(s) && prepare_tls(s) && prepare_tool_trust(s) && take_redis_url(s) &&
                   open_spool(s)
               ? 0
               : -1;
}

void shared_release(struct shared *s)
{
    spool_free(s->spool);
    SSL_CTX_free(s->tls);
    X509_STORE_free(s->tool_trusted);
    redis_url_release(&s->redis_url);
}
