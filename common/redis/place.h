/* Where a Redis server listens. Pure. */
#pragma once
#include "common/base/base.h"

struct redis_place {
    char host[254]; /* an IP address (no brackets) or a name */
    uint16_t port;
};

/* host:port as Redis writes it: an IPv6 address has no brackets, and the host may be empty. False if text is
 * none. */
RF_NODISCARD bool redis_place_parse(const char *text, struct redis_place *place);

/* False if there is no such place. */
RF_NODISCARD bool redis_place_set(struct redis_place *place, const char *host, size_t host_len, long long port);

bool redis_place_same(const struct redis_place *a, const struct redis_place *b);
