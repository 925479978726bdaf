/* The Redis functions (common/redis/functions) as the flusher calls them. */
#pragma once
#include <hiredis/hiredis.h>

#include "common/redis/keys.h"

enum { HANDOVER_ARGS_MAX = 8 };

/* Puts FCALL <function> with the call's keys of the given kinds and the arguments (the call_sid is
 * the first, and not among them) into the pipeline. */
RF_NODISCARD bool handover_append(redisContext *redis, const struct key_space *keys, const char *function,
                                  const enum key_kind *kinds, size_t kind_count, const char *call_sid,
                                  const char *const *args, size_t arg_count);

/* The next reply; NULL, with a log line, when there is none or it is an error. */
redisReply *redis_next(redisContext *redis);

/* One command and its reply, the same way. */
RF_PRINTF(2, 3) redisReply *redis_ask(redisContext *redis, const char *format, ...);

/* True if reply is an array whose first element is word; clears reply. */
bool handover_said(redisReply *reply, const char *word);
