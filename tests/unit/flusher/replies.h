/* Redis replies without a Redis: the protocol's text, read by the client library. */
#pragma once
#include <hiredis/hiredis.h>

/* Free with freeReplyObject. Fails the test if the text is not exactly one reply. */
redisReply *reply_of(const char *text, size_t len);

/* The same for a string literal, which may hold zero bytes. */
#define REPLY(literal) reply_of(literal, sizeof(literal) - 1)
