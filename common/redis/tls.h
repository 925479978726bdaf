/* rediss://: TLS under a connection of hiredis, where its library for that was there at build time
 * (hiredis_ssl, from hiredis 1.0 on). */
#pragma once
#include <hiredis/hiredis.h>

#include "common/base/base.h"

bool redis_tls_built(void);

/* Begins TLS on a connection that is just being made (ctx->err is 0). The server's certificate must be good for
 * host, and be vouched for by the system's certificates, or those that OpenSSL's SSL_CERT_FILE names. false: the reason
 * is in ctx->errstr, or it is out of memory. */
RF_NODISCARD bool redis_tls_begin(redisContext *ctx, const char *host);
