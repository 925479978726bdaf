#include "common/redis/tls.h"

#ifdef RINGFLEET_REDIS_TLS
#include <arpa/inet.h>
#include <pthread.h>

#include <hiredis/hiredis_ssl.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static SSL_CTX *settings; /* for the process's life; OpenSSL counts its references atomically */

static void make_settings(void)
{
    settings = SSL_CTX_new(TLS_client_method());
    if (!settings)
        return;
    SSL_CTX_set_min_proto_version(settings, TLS1_2_VERSION);
    SSL_CTX_set_verify(settings, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_default_verify_paths(settings);
}

/* hiredis' own way compares no name. */
static bool expect(SSL *ssl, const char *host)
{
    unsigned char address[16];
    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    return SSL_set_tlsext_host_name(ssl, host) == 1 && SSL_set1_host(ssl, host) == 1;
}

bool redis_tls_built(void)
{
    return true;
}

bool redis_tls_begin(redisContext *ctx, const char *host)
{
    SSL *ssl;
    pthread_once(&once, make_settings);
    ssl = settings ? SSL_new(settings) : NULL;
    if (ssl && expect(ssl, host) && redisInitiateSSL(ctx, ssl) == REDIS_OK)
        return true; /* it is the connection's now */
    SSL_free(ssl);
    return false;
}

#else

bool redis_tls_built(void)
{
    return false;
}

bool redis_tls_begin(redisContext *ctx, const char *host)
{
    (void)ctx;
    (void)host;
    return false;
}

#endif
