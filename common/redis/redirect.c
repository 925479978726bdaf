#include "common/redis/redirect.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/redis/slot.h"

bool redis_place_same(const struct redis_place *a, const struct redis_place *b)
{
    return a->port == b->port && strcasecmp(a->host, b->host) == 0;
}

static bool take_number(const char **at, long most, long *out)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtol(*at, &end, 10);
    *at = end;
    return *out <= most;
}

/* host:port; an IPv6 address has colons of its own. */
static bool take_place(const char *text, struct redis_place *to)
{
    const char *colon = strrchr(text, ':'), *digits = colon ? colon + 1 : NULL;
    size_t len = colon ? (size_t)(colon - text) : 0;
    long port;
    if (!colon || len >= sizeof to->host || !take_number(&digits, UINT16_MAX, &port) || *digits || port == 0)
        return false;
    memcpy(to->host, text, len);
    to->host[len] = '\0';
    to->port = (uint16_t)port;
    return true;
}

static struct redirect elsewhere(enum redirect_kind kind, const char *rest)
{
    struct redirect r = {.kind = kind};
    long slot;
    if (!take_number(&rest, REDIS_SLOTS - 1, &slot) || *rest++ != ' ' || strchr(rest, ' ') ||
        !take_place(rest, &r.to))
        return (struct redirect){.kind = REDIRECT_NONE};
    r.slot = (int)slot;
    return r;
}

struct redirect redirect_parse(const char *error)
{
    if (strncmp(error, "MOVED ", 6) == 0)
        return elsewhere(REDIRECT_MOVED, error + 6);
    if (strncmp(error, "ASK ", 4) == 0)
        return elsewhere(REDIRECT_ASK, error + 4);
    if (strncmp(error, "TRYAGAIN ", 9) == 0 || strncmp(error, "CLUSTERDOWN ", 12) == 0)
        return (struct redirect){.kind = REDIRECT_LATER};
    return (struct redirect){.kind = REDIRECT_NONE};
}
