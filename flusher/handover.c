#include "flusher/handover.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"

enum { KEYS_MAX = 8 };

bool handover_append(redisContext *redis, const struct key_space *keys, const char *function,
                     const enum key_kind *kinds, size_t kind_count, const char *call_sid, const char *const *args,
                     size_t arg_count)
{
    const char *argv[4 + KEYS_MAX + HANDOVER_ARGS_MAX];
    char names[KEYS_MAX][KEY_SIZE], number[12];
    int argc = 0;
    snprintf(number, sizeof number, "%zu", kind_count);
    argv[argc++] = "FCALL";
    argv[argc++] = function;
    argv[argc++] = number;
    for (size_t i = 0; i < kind_count; i++)
        argv[argc++] = key_of_call(names[i], keys, kinds[i], call_sid);
    argv[argc++] = call_sid;
    for (size_t i = 0; i < arg_count; i++)
        argv[argc++] = args[i];
    return redisAppendCommandArgv(redis, argc, argv, NULL) == REDIS_OK;
}

redisReply *redis_next(redisContext *redis)
{
    static _Thread_local struct log_limit limit; /* lanes are threads */
    void *reply = NULL;
    bool ok = redisGetReply(redis, &reply) == REDIS_OK && ((redisReply *)reply)->type != REDIS_REPLY_ERROR;
    if (ok)
        return reply;
    if (log_allow(&limit))
        log_warn(NULL, "Redis did not do what was asked",
                 log_str("error", reply ? ((redisReply *)reply)->str : redis->errstr));
    if (reply)
        redis->reader->fn->freeObject(reply); /* which need not be the library's (reply_arena.h) */
    return NULL;
}

redisReply *redis_ask(redisContext *redis, const char *format, ...)
{
    va_list args;
    int appended;
    va_start(args, format);
    appended = redisvAppendCommand(redis, format, args);
    va_end(args);
    return appended == REDIS_OK ? redis_next(redis) : NULL;
}

bool handover_said(redisReply *reply, const char *word)
{
    bool said = reply && reply->type == REDIS_REPLY_ARRAY && reply->elements > 0 &&
                reply->element[0]->type == REDIS_REPLY_STRING && strcmp(reply->element[0]->str, word) == 0;
    freeReplyObject(reply);
    return said;
}
