#include "common/redis/keys.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/base/decimal.h"

enum { PREFIX_MAX = 64 };

static const char *const call_suffix[] = {
    [KEY_CONTEXT] = "",
    [KEY_SESSION] = ":session",
    [KEY_WRITES] = ":writes",
    [KEY_EVENTS] = ":events",
};

static const char *const partition_name[] = {
    [KEY_LIVE] = "live",
    [KEY_ENDED] = "ended",
    [KEY_FLUSHED] = "flushed",
    [KEY_DEAD] = "dead",
    [KEY_PARTITIONS] = "partitions",
};

bool call_sid_valid(const char *sid)
{
    size_t len = strspn(sid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.:+-");
    return len > 0 && len < CALL_SID_SIZE && sid[len] == '\0';
}

int key_partition(const struct key_space *space, const char *call_sid)
{
    uint32_t hash = 2166136261u;
    for (; *call_sid; call_sid++)
        hash = (hash ^ (uint8_t)*call_sid) * 16777619u;
    return (int)(hash % (uint32_t)space->partitions);
}

/* At most so much of it. */
static char *put_up_to(char *to, const char *text, size_t max)
{
    size_t len = strnlen(text, max);
    memcpy(to, text, len);
    return to + len;
}

/* prefix:{p0}: */
static char *put_partition(char *to, const struct key_space *space, int partition)
{
    to = put_up_to(to, space->prefix, PREFIX_MAX);
    return stpcpy(decimal_put(stpcpy(to, ":{p"), partition), "}:");
}

const char *key_of_partition(char out[KEY_SIZE], const struct key_space *space, enum key_kind kind, int partition)
{
    stpcpy(put_partition(out, space, partition), partition_name[kind]);
    return out;
}

const char *key_of_call(char out[KEY_SIZE], const struct key_space *space, enum key_kind kind, const char *call_sid)
{
    int partition = key_partition(space, call_sid);
    if (kind >= KEY_LIVE)
        return key_of_partition(out, space, kind, partition);
    stpcpy(put_up_to(stpcpy(put_partition(out, space, partition), "call:"), call_sid, CALL_SID_SIZE - 1), call_suffix[kind]);
    return out;
}

const char *key_session_pattern(char out[KEY_SIZE], const struct key_space *space)
{
    snprintf(out, KEY_SIZE, "%.64s:{p*}:call:*%s", space->prefix, call_suffix[KEY_SESSION]);
    return out;
}

const char *key_session_call(char sid[CALL_SID_SIZE], const struct key_space *space, const char *key)
{
    static const char before[] = "}:call:";
    const char *begin = strstr(key, before), *suffix = call_suffix[KEY_SESSION];
    size_t len = begin ? strlen(begin) - (sizeof before - 1) : 0;
    char made[KEY_SIZE];
    if (len <= strlen(suffix) || len - strlen(suffix) >= CALL_SID_SIZE)
        return NULL;
    snprintf(sid, CALL_SID_SIZE, "%.*s", (int)(len - strlen(suffix)), begin + sizeof before - 1);
    return call_sid_valid(sid) && strcmp(key_of_call(made, space, KEY_SESSION, sid), key) == 0 ? sid : NULL;
}

const char *key_global(char out[KEY_SIZE], const struct key_space *space, const char *kind, const char *id,
                       const char *more)
{
    int len = snprintf(out, KEY_SIZE, "%.64s:%s:%s%s%s", space->prefix, kind, id, more ? ":" : "", more ? more : "");
    return len < KEY_SIZE ? out : NULL;
}

const char *key_alias(char out[KEY_SIZE], const struct key_space *space, const char *id)
{
    int len = snprintf(out, KEY_SIZE, "%.64s:{p%d}:alias:%s", space->prefix, key_partition(space, id), id);
    return len < KEY_SIZE ? out : NULL;
}

const char *key_outbound(char out[KEY_SIZE], const struct key_space *space, const char *kind, const char *id)
{
    int len = snprintf(out, KEY_SIZE, "%.64s:{outbound}:%s%s%s", space->prefix, kind, id ? ":" : "", id ? id : "");
    return len < KEY_SIZE ? out : NULL;
}

const char *key_slot(char out[KEY_SIZE], const struct key_space *space, const char *business_id, int64_t start_s)
{
    time_t t = (time_t)start_s;
    char start[32];
    struct tm tm;
    int len;
    strftime(start, sizeof start, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm));
    len = snprintf(out, KEY_SIZE, "%.64s:slot:{%s}:%s", space->prefix, business_id, start);
    return len < KEY_SIZE ? out : NULL;
}
