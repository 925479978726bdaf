#include "common/redis/redirect.h"

#include <stdlib.h>
#include <string.h>

#include "common/redis/slot.h"

static bool take_number(const char **at, long most, long *out)
{
    char *end;
    if (**at < '0' || **at > '9')
        return false;
    *out = strtol(*at, &end, 10);
    *at = end;
    return *out <= most;
}

static struct redirect elsewhere(enum redirect_kind kind, const char *rest)
{
    struct redirect r = {.kind = kind};
    long slot;
    if (!take_number(&rest, REDIS_SLOTS - 1, &slot) || *rest++ != ' ' || strchr(rest, ' ') ||
        !redis_place_parse(rest, &r.to))
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
