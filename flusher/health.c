#include "flusher/health.h"

#include <string.h>

#include "common/redis/url.h"

bool health_look(redisContext *redis, struct health *health)
{
    redisReply *info = redisCommand(redis, "INFO");
    bool usable = info != NULL;
    memset(health, 0, sizeof *health);
    /* A look that is refused (ACL) tells nothing. */
    if (info && info->type == REDIS_REPLY_STRING) {
        usable = redis_risk(info->str, health->sentence, sizeof health->sentence);
        health->memory_percent = redis_memory_percent(info->str);
    }
    freeReplyObject(info);
    return usable;
}
