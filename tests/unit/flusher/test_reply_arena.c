#include "flusher/reply_arena.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static redisReply *read_reply(redisContext *c, const char *text)
{
    void *reply = NULL;
    assert_int_equal(redisReaderFeed(c->reader, text, strlen(text)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(c->reader, &reply), REDIS_OK);
    assert_non_null(reply);
    return reply;
}

/* The same text into the arena and onto the heap must give the same reply. */
static void assert_same(const redisReply *a, const redisReply *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->integer, b->integer);
    assert_int_equal(a->len, b->len);
    assert_int_equal(a->elements, b->elements);
    if (b->str)
        assert_memory_equal(a->str, b->str, b->len + 1);
    else
        assert_null(a->str);
    for (size_t i = 0; i < b->elements; i++)
        assert_same(a->element[i], b->element[i]);
}

static void test_every_kind(void **state)
{
    static const char *const texts[] = {
        "$-1\r\n", "*-1\r\n", ":42\r\n", "+OK\r\n", "-ERR no\r\n", "$0\r\n\r\n", "$3\r\nabc\r\n", "*0\r\n",
        "*4\r\n$1\r\na\r\n:-7\r\n$-1\r\n*2\r\n*0\r\n$2\r\nxy\r\n",
    };
    struct reply_arena arena = {0};
    redisContext c = {.reader = redisReaderCreate()};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        redisReply *heap, *own;
        reply_arena_begin(&arena, &c);
        own = read_reply(&c, texts[i]);
        reply_arena_end(&arena, &c);
        heap = read_reply(&c, texts[i]);
        assert_same(own, heap);
        freeReplyObject(heap);
    }
    reply_arena_release(&arena);
    redisReaderFree(c.reader);
}

/* Replies of one generation stand until the next begins, over many chunks and with one that is larger than any. */
static void test_many_and_large(void **state)
{
    enum { REPLIES = 300, LARGE = 3 << 20, SMALL = 10000 };
    struct reply_arena arena = {0};
    redisContext c = {.reader = redisReaderCreate()};
    redisReply *replies[REPLIES];
    char *text = malloc(LARGE + 64);
    (void)state;
    for (int generation = 0; generation < 3; generation++) {
        reply_arena_begin(&arena, &c);
        for (int i = 0; i < REPLIES; i++) {
            size_t len = i == 100 ? LARGE : SMALL;
            size_t head = (size_t)sprintf(text, "$%zu\r\n", len);
            memset(text + head, 'a' + i % 26, len);
            strcpy(text + head + len, "\r\n");
            replies[i] = read_reply(&c, text);
        }
        reply_arena_end(&arena, &c);
        for (int i = 0; i < REPLIES; i++) {
            assert_int_equal(replies[i]->len, i == 100 ? LARGE : SMALL);
            assert_int_equal(replies[i]->str[0], 'a' + i % 26);
            assert_int_equal(replies[i]->str[replies[i]->len - 1], 'a' + i % 26);
        }
    }
    free(text);
    reply_arena_release(&arena);
    redisReaderFree(c.reader);
}

/* The connection ended, or was too slow, in the middle of a reply: whoever frees it must not free what is in the arena. */
static void test_half_a_reply(void **state)
{
    static const char half[] = "*2\r\n$1\r\na\r\n";
    struct reply_arena arena = {0};
    redisContext c = {.reader = redisReaderCreate()};
    void *reply = NULL;
    (void)state;
    reply_arena_begin(&arena, &c);
    assert_int_equal(redisReaderFeed(c.reader, half, strlen(half)), REDIS_OK);
    assert_int_equal(redisReaderGetReply(c.reader, &reply), REDIS_OK);
    assert_null(reply);
    reply_arena_end(&arena, &c);
    redisReaderFree(c.reader);
    reply_arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind),
        cmocka_unit_test(test_many_and_large),
        cmocka_unit_test(test_half_a_reply),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
