#include "worker/shared.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <event2/http.h>

#include "common/base/log.h"

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
    struct evhttp_uri *uri = evhttp_uri_parse(s->config->ai_url);
    struct ai_target *ai = &s->ai;
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    bool good = host && *host;
    s->provider = provider_named(s->config->ai_provider);
    if (good) {
        int port = evhttp_uri_get_port(uri);
        const char *path = evhttp_uri_get_path(uri);
        ai->tls = strcmp(evhttp_uri_get_scheme(uri), "wss") == 0;
        ai->port = (uint16_t)(port > 0 ? port : ai->tls ? 443 : 80);
        snprintf(ai->host, sizeof ai->host, "%s", host);
        snprintf(ai->path, sizeof ai->path, "%s", path && *path ? path : "/");
        s->provider->target(s->config, ai);
    } else {
        log_error(NULL, "RINGFLEET_AI_URL has no host", log_str("value", s->config->ai_url));
    }
    if (uri)
        evhttp_uri_free(uri);
    return good;
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

int shared_init(struct shared *s, const struct worker_config *config)
{
    memset(s, 0, sizeof *s);
    s->config = config;
    s->keys = (struct key_space){config->key_prefix, (int)config->partitions};
    s->places.max = (int)config->max_calls;
    name_worker(s);
    return take_ai_target(s) && prepare_tls(s) && prepare_tool_trust(s) && take_redis_url(s) ? 0 : -1;
}

void shared_release(struct shared *s)
{
    SSL_CTX_free(s->tls);
    X509_STORE_free(s->tool_trusted);
    redis_url_release(&s->redis_url);
}
