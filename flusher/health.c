#include "flusher/health.h"

#include "common/redis/url.h"

bool health_look(redisContext *redis, struct flusher_metrics *metrics, char *sentence, size_t size)
{
    redisReply *info = redisCommand(redis, "INFO");
    bool usable = info != NULL;
    *sentence = '\0';
    /* A look that is refused (ACL) tells nothing. */
    if (info && info->type == REDIS_REPLY_STRING) {
        usable = redis_risk(info->str, sentence, size);
        if (metrics) {
            metric_set(&metrics->at_risk, *sentence != '\0');
            metric_set(&metrics->memory_percent, (uint64_t)redis_memory_percent(info->str));
        }
    }
    freeReplyObject(info);
    return usable;
}
