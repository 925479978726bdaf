#include "tests/unit/flusher/replies.h"

#include "tests/unit/unit.h"

redisReply *reply_of(const char *text, size_t len)
{
    redisReader *reader = redisReaderCreate();
    void *reply = NULL, *rest = NULL;
    assert_int_equal(redisReaderFeed(reader, text, len), REDIS_OK);
    assert_int_equal(redisReaderGetReply(reader, &reply), REDIS_OK);
    assert_non_null(reply);
    assert_int_equal(redisReaderGetReply(reader, &rest), REDIS_OK);
    assert_null(rest);
    redisReaderFree(reader);
    return reply;
}
