#include "common/redis/place.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool redis_place_set(struct redis_place *place, const char *host, size_t host_len, long long port)
{
    if (host_len >= sizeof place->host || port < 1 || port > UINT16_MAX)
        return false;
    memcpy(place->host, host, host_len);
    place->host[host_len] = '\0';
    place->port = (uint16_t)port;
    return true;
}

bool redis_place_parse(const char *text, struct redis_place *place)
{
    const char *colon = strrchr(text, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    return digits > 0 && digits < 6 && colon[1 + digits] == '\0' &&
           redis_place_set(place, text, (size_t)(colon - text), atol(colon + 1));
}

bool redis_place_same(const struct redis_place *a, const struct redis_place *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}
