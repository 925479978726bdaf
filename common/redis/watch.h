/* What hiredis waits for, as events of libevent: its own adapter takes an event away and adds it anew with each answer,
 * on hiredis 0.14 with a system call each time. */
#pragma once
#include <hiredis/async.h>

#include "common/base/base.h"

struct event_base;

/* The connection's life from here on, which ends it with it. -1: out of memory, nothing has changed. */
RF_NODISCARD int redis_watch(redisAsyncContext *ctx, struct event_base *base);
